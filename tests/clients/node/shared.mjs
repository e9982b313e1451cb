// What every script here needs: where the two servers are, and what it asks of them. The real one decodes a tiny random model; the scripted one says what an app waits for.
export const [real, scripted] = process.argv.slice(2);

export const question = "Say something.";
export const weather = {
  name: "weather",
  description: "The weather of a city.",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
export const forecast = city => `sunny in ${city}`;

// Prints what was seen, as one line of JSON.
export const report = seen => console.log(JSON.stringify(seen));

// Reads a stream until something came, then calls off the rest; the number of pieces that came.
export async function readSome(stream, abort) {
  let pieces = 0;
  try {
    for await (const _ of stream) {
      pieces++;
      if (pieces === 4)
        abort();
      if (pieces > 100)
        throw new Error("the stream goes on after it was called off");
    }
  } catch (e) {
    if (!/abort/i.test(`${e.name} ${e.message}`))
      throw e;
  }
  return pieces;
}
