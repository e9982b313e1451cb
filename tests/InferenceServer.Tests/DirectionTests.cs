using System.Collections.Immutable;
using System.Reflection;
using System.Reflection.Emit;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;

namespace InferenceServer.Tests;

/// <summary>
/// Which rooms may know which, read from what the compiler made of them: every type and member that a type's signatures, attributes and instructions refer to.
/// A wrong arrow is named with its files.
/// </summary>
public sealed class DirectionTests
{
    private const string Server = "InferenceServer", Core = "InferenceServer.Core", Engine = "InferenceServer.Engine", Library = "InferenceServer.Library", Mcp = "InferenceServer.Mcp", Llama = "InferenceServer.Llama";

    /// <summary>Protocols that apps speak: none of them knows another. Conversations belong to responses.</summary>
    private static readonly string[] Dialects =
        ["InferenceServer.Api.Anthropic", "InferenceServer.Api.Ollama", "InferenceServer.Api.LlamaServer", "InferenceServer.Api.OpenAI.Chat", "InferenceServer.Api.OpenAI.Completions", "InferenceServer.Api.OpenAI.Responses"];

    private static readonly Lazy<IReadOnlyList<Arrow>> Arrows = new(() => [.. ((string[])[Server, Core, Engine, Library, Mcp, Llama]).SelectMany(ArrowsOf)]);

    /// <summary>A type refers to another.</summary>
    private sealed record Arrow(string File, string From, string FromRoom, string To, string ToRoom)
    {
        public override string ToString() => $"{File}: {From} -> {To}";
    }

    [Fact]
    public void Nothing_but_the_API_and_the_composition_root_knows_the_API() => Forbid(arrow =>
        IsIn(arrow.ToRoom, "InferenceServer.Api") && !IsIn(arrow.FromRoom, "InferenceServer.Api") && arrow.FromRoom is not ("InferenceServer" or ""));

    [Fact]
    public void No_dialect_knows_another() => Forbid(arrow =>
        Array.Find(Dialects, dialect => IsIn(arrow.FromRoom, dialect)) is { } from && Array.Exists(Dialects, dialect => dialect != from && IsIn(arrow.ToRoom, dialect)));

    [Fact]
    public void The_conversation_core_knows_no_protocol_and_no_web_server() => Forbid(arrow =>
        ((string[])["InferenceServer.Chat", "InferenceServer.Models", "InferenceServer.Moderation"]).Any(core => IsIn(arrow.FromRoom, core))
        && (((string[])["InferenceServer.Api", "InferenceServer.Operations", "InferenceServer.Store", "InferenceServer.Web"]).Any(above => IsIn(arrow.ToRoom, above))
            || IsIn(arrow.ToRoom, "Microsoft.AspNetCore") || IsIn(arrow.ToRoom, "System.Net.Http")));

    [Fact]
    public void The_store_and_operations_know_each_other_and_the_core_only() => Forbid(arrow =>
        (IsIn(arrow.FromRoom, "InferenceServer.Store") || IsIn(arrow.FromRoom, "InferenceServer.Operations")) && IsIn(arrow.ToRoom, "InferenceServer.Web"));

    [Fact]
    public void The_engine_knows_the_library_only_and_the_library_nothing_of_ours() => Forbid(arrow =>
        (IsIn(arrow.FromRoom, Engine) && IsIn(arrow.ToRoom, "InferenceServer") && !IsIn(arrow.ToRoom, Engine) && !IsIn(arrow.ToRoom, Llama))
        || (IsIn(arrow.FromRoom, Llama) && IsIn(arrow.ToRoom, "InferenceServer") && !IsIn(arrow.ToRoom, Llama)));

    [Fact]
    public void The_library_of_models_knows_GGUF_files_only_and_neither_core_nor_engine_knows_it() => Forbid(arrow =>
        (IsIn(arrow.FromRoom, Library) && ((IsIn(arrow.ToRoom, "InferenceServer") && !IsIn(arrow.ToRoom, Library) && !IsIn(arrow.ToRoom, "InferenceServer.Llama.Gguf")) || IsIn(arrow.ToRoom, "Microsoft.AspNetCore")))
        || (IsIn(arrow.ToRoom, Library) && ((string[])["InferenceServer.Chat", "InferenceServer.Models", "InferenceServer.Moderation", Engine, Llama]).Any(below => IsIn(arrow.FromRoom, below))));

    [Fact]
    public void The_client_of_MCP_servers_knows_the_conversation_only_and_neither_core_nor_engine_knows_it() => Forbid(arrow =>
        (IsIn(arrow.FromRoom, Mcp) && ((IsIn(arrow.ToRoom, "InferenceServer") && !IsIn(arrow.ToRoom, Mcp) && !IsIn(arrow.ToRoom, "InferenceServer.Chat") && arrow.ToRoom != "InferenceServer") || IsIn(arrow.ToRoom, "Microsoft.AspNetCore")))
        || ((IsIn(arrow.ToRoom, Mcp) || IsIn(arrow.ToRoom, "ModelContextProtocol")) && ((string[])["InferenceServer.Chat", "InferenceServer.Models", "InferenceServer.Moderation", Engine, Llama]).Any(below => IsIn(arrow.FromRoom, below))));

    [Fact]
    public void Only_the_client_of_MCP_servers_knows_their_protocol() => Forbid(arrow => IsIn(arrow.ToRoom, "ModelContextProtocol") && !IsIn(arrow.FromRoom, Mcp));

    /// <summary>Else the tests above would pass for want of anything to look at.</summary>
    [Fact]
    public void Arrows_are_found_at_all()
    {
        Assert.Contains(Arrows.Value, arrow => arrow.From.EndsWith("ChatCompletionEndpoint", StringComparison.Ordinal) && arrow.To.EndsWith(".ChatTurn", StringComparison.Ordinal));
        Assert.Contains(Arrows.Value, arrow => IsIn(arrow.FromRoom, "InferenceServer.Chat") && IsIn(arrow.ToRoom, Engine) && arrow.File.EndsWith("ChatTurn.cs", StringComparison.Ordinal));
        Assert.Contains(Arrows.Value, arrow => IsIn(arrow.FromRoom, Library) && arrow.To.EndsWith(".GgufReader", StringComparison.Ordinal));
        Assert.Contains(Arrows.Value, arrow => IsIn(arrow.FromRoom, Mcp) && arrow.To.EndsWith(".McpClient", StringComparison.Ordinal));
        Assert.All(Dialects, dialect => Assert.Contains(Arrows.Value, arrow => IsIn(arrow.FromRoom, dialect)));
    }

    private static void Forbid(Predicate<Arrow> isWrong)
    {
        string[] wrong = [.. Arrows.Value.Where(arrow => isWrong(arrow)).Select(arrow => arrow.ToString()).Distinct().Order()];
        Assert.True(wrong.Length == 0, string.Join('\n', wrong));
    }

    private static bool IsIn(string room, string of) => room == of || room.StartsWith(of + ".", StringComparison.Ordinal);

    private static List<Arrow> ArrowsOf(string assembly)
    {
        string path = Path.Combine(AppContext.BaseDirectory, assembly + ".dll");
        using PEReader image = new(File.OpenRead(path));
        using MetadataReaderProvider symbols = MetadataReaderProvider.FromPortablePdbStream(File.OpenRead(Path.ChangeExtension(path, ".pdb")));
        MetadataReader reader = image.GetMetadataReader(), debug = symbols.GetMetadataReader();
        List<Arrow> arrows = [];
        foreach (TypeDefinitionHandle handle in reader.TypeDefinitions)
        {
            TypeDefinition type = reader.GetTypeDefinition(handle);
            (string from, string room) = NameOf(reader, handle);
            References references = new(reader);
            references.AddType(type.BaseType);
            foreach (InterfaceImplementationHandle implemented in type.GetInterfaceImplementations())
                references.AddType(reader.GetInterfaceImplementation(implemented).Interface);
            foreach (FieldDefinitionHandle field in type.GetFields())
                reader.GetFieldDefinition(field).DecodeSignature(references, null);
            string file = "";
            foreach (MethodDefinitionHandle method in type.GetMethods())
            {
                MethodDefinition definition = reader.GetMethodDefinition(method);
                definition.DecodeSignature(references, null);
                if (definition.RelativeVirtualAddress != 0)
                    references.AddBody(image.GetMethodBody(definition.RelativeVirtualAddress));
                if (file.Length == 0 && debug.GetMethodDebugInformation(method.ToDebugInformationHandle()) is { Document.IsNil: false } information)
                    file = debug.GetString(debug.GetDocument(information.Document).Name);
            }

            string shown = file.Length == 0 ? assembly : Path.GetFileName(file);
            arrows.AddRange(references.Found.Select(to => new Arrow(shown, from, room, $"{to.Room}.{to.Name}", to.Room)));
        }

        return arrows;
    }

    /// <summary>A type's name and namespace; of one within another, the outer one's.</summary>
    private static (string Name, string Room) NameOf(MetadataReader reader, TypeDefinitionHandle handle)
    {
        TypeDefinition type = reader.GetTypeDefinition(handle);
        return type.GetDeclaringType() is { IsNil: false } outer ? NameOf(reader, outer) : (reader.GetString(type.Name), reader.GetString(type.Namespace));
    }

    /// <summary>Collects what is referred to.</summary>
    private sealed class References(MetadataReader reader) : ISignatureTypeProvider<int, object?>
    {
        private static readonly OpCode[] OneByte = new OpCode[256], TwoBytes = new OpCode[256];

        static References()
        {
            foreach (FieldInfo field in typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static))
                if (field.GetValue(null) is OpCode code)
                    (code.Size == 1 ? OneByte : TwoBytes)[code.Value & 0xFF] = code;
        }

        public HashSet<(string Name, string Room)> Found { get; } = [];

        public void AddType(EntityHandle handle)
        {
            if (handle.IsNil)
                return;
            if (handle.Kind == HandleKind.TypeDefinition)
                Found.Add(NameOf(reader, (TypeDefinitionHandle)handle));
            else if (handle.Kind == HandleKind.TypeReference)
                AddReference((TypeReferenceHandle)handle);
            else if (handle.Kind == HandleKind.TypeSpecification)
                reader.GetTypeSpecification((TypeSpecificationHandle)handle).DecodeSignature(this, null);
        }

        /// <summary>Every token in a method's instructions.</summary>
        public void AddBody(MethodBodyBlock body)
        {
            if (!body.LocalSignature.IsNil)
                reader.GetStandaloneSignature(body.LocalSignature).DecodeLocalSignature(this, null);
            BlobReader code = body.GetILReader();
            while (code.RemainingBytes > 0)
            {
                byte first = code.ReadByte();
                OpCode instruction = first == 0xFE ? TwoBytes[code.ReadByte()] : OneByte[first];
                switch (instruction.OperandType)
                {
                    case OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType:
                        Add(MetadataTokens.EntityHandle(code.ReadInt32()));
                        break;
                    case OperandType.InlineSwitch:
                        int targets = code.ReadInt32();
                        code.Offset += 4 * targets;
                        break;
                    default:
                        code.Offset += instruction.OperandType switch
                        {
                            OperandType.InlineNone => 0,
                            OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                            OperandType.InlineVar => 2,
                            OperandType.InlineI8 or OperandType.InlineR => 8,
                            _ => 4,
                        };
                        break;
                }
            }
        }

        private void Add(EntityHandle handle)
        {
            switch (handle.Kind)
            {
                case HandleKind.MemberReference:
                    AddType(reader.GetMemberReference((MemberReferenceHandle)handle).Parent);
                    break;
                case HandleKind.MethodDefinition:
                    AddType(reader.GetMethodDefinition((MethodDefinitionHandle)handle).GetDeclaringType());
                    break;
                case HandleKind.FieldDefinition:
                    AddType(reader.GetFieldDefinition((FieldDefinitionHandle)handle).GetDeclaringType());
                    break;
                case HandleKind.MethodSpecification:
                    MethodSpecification made = reader.GetMethodSpecification((MethodSpecificationHandle)handle);
                    made.DecodeSignature(this, null);
                    Add(made.Method);
                    break;
                default:
                    AddType(handle);
                    break;
            }
        }

        private void AddReference(TypeReferenceHandle handle)
        {
            TypeReference reference = reader.GetTypeReference(handle);
            if (reference.ResolutionScope.Kind == HandleKind.TypeReference)
                AddReference((TypeReferenceHandle)reference.ResolutionScope);
            else
                Found.Add((reader.GetString(reference.Name), reader.GetString(reference.Namespace)));
        }

        // What a signature is made of is found on the way; its shape does not matter.
        public int GetTypeFromDefinition(MetadataReader metadata, TypeDefinitionHandle handle, byte rawTypeKind)
        {
            AddType(handle);
            return 0;
        }

        public int GetTypeFromReference(MetadataReader metadata, TypeReferenceHandle handle, byte rawTypeKind)
        {
            AddType(handle);
            return 0;
        }

        public int GetTypeFromSpecification(MetadataReader metadata, object? genericContext, TypeSpecificationHandle handle, byte rawTypeKind)
        {
            AddType(handle);
            return 0;
        }

        public int GetArrayType(int elementType, ArrayShape shape) => 0;

        public int GetByReferenceType(int elementType) => 0;

        public int GetFunctionPointerType(MethodSignature<int> signature) => 0;

        public int GetGenericInstantiation(int genericType, ImmutableArray<int> typeArguments) => 0;

        public int GetGenericMethodParameter(object? genericContext, int index) => 0;

        public int GetGenericTypeParameter(object? genericContext, int index) => 0;

        public int GetModifiedType(int modifier, int unmodifiedType, bool isRequired) => 0;

        public int GetPinnedType(int elementType) => 0;

        public int GetPointerType(int elementType) => 0;

        public int GetPrimitiveType(PrimitiveTypeCode typeCode) => 0;

        public int GetSZArrayType(int elementType) => 0;
    }
}
