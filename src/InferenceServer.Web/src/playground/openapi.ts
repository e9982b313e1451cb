/** The parts of an OpenAPI 3.1 document that the page reads. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  minimum?: number;
  maximum?: number;
}

export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  description?: string;
  required?: boolean;
}

interface OpenApi {
  paths: Record<string, Record<string, { tags?: string[]; summary?: string; parameters?: Parameter[]; requestBody?: { content: Record<string, { schema: Schema; example?: unknown }> } }>>;
  components: { schemas: Record<string, Schema> };
}

/** One way to call the server. */
export interface Endpoint {
  id: string;
  method: "GET" | "POST" | "DELETE";
  path: string;
  group: string;
  summary: string;
  parameters: Parameter[];
  body: Schema | null;
  /** A body that the server answers as it stands. */
  sample: unknown;
}

export interface Field {
  path: string;
  type: string;
  note: string;
  required: boolean;
}

export class ApiDescription {
  readonly endpoints: Endpoint[];
  readonly #schemas: Record<string, Schema>;

  constructor(document: OpenApi) {
    this.#schemas = document.components.schemas;
    this.endpoints = Object.entries(document.paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, operation]) => ({
      id: `${method.toUpperCase()} ${path}`, method: method.toUpperCase() as Endpoint["method"], path, group: operation.tags?.[0] ?? "Other", summary: operation.summary ?? "",
      parameters: (operation.parameters ?? []).filter(parameter => parameter.in !== "header"), body: operation.requestBody?.content["application/json"]?.schema ?? null,
      sample: operation.requestBody?.content["application/json"]?.example,
    })));
  }

  /** The fields of a body, two levels deep, for reading beside it. */
  fields(schema: Schema): Field[] {
    const known = this.#resolve(schema);
    return Object.entries(known.properties ?? {}).flatMap(([name, property]) => {
      const inner = this.#resolve(property);
      const nested = inner.properties ?? this.#resolve(inner.items ?? {}).properties ?? {};
      const dots = inner.items ? "[]." : ".";
      return [
        this.#field(name, property, known),
        ...Object.entries(nested).map(([child, value]) => this.#field(`${name}${dots}${child}`, value, { required: [] })),
      ];
    });
  }

  #field(path: string, schema: Schema, of: Schema): Field {
    const known = this.#resolve(schema);
    return { path, type: this.#type(known), note: schema.description ?? this.#inner(schema)?.description ?? known.description ?? "", required: of.required?.includes(path) ?? false };
  }

  #type(schema: Schema): string {
    if (schema.enum)
      return schema.enum.map(String).join(" | ");
    const types = [schema.type ?? (schema.properties ? "object" : "any")].flat().filter(type => type !== "null").join(" | ");
    const range = schema.minimum !== undefined && schema.maximum !== undefined && schema.maximum < 1e6 ? `, ${schema.minimum} to ${schema.maximum}` : "";
    return `${types}${range}`;
  }

  #inner(schema: Schema): Schema | undefined {
    return [...schema.oneOf ?? [], ...schema.anyOf ?? []].find(one => one.type !== "null");
  }

  #resolve(schema: Schema): Schema {
    let known = schema;
    // References end: a bound keeps a document with a circle from holding the page.
    for (let steps = 0; steps < 10; steps++) {
      const next = known.$ref ? this.#schemas[known.$ref.split("/").at(-1) ?? ""] : this.#inner(known);
      if (!next)
        break;
      known = next;
    }
    return known;
  }
}
