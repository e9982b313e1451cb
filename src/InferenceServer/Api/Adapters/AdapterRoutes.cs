using InferenceServer.Api.OpenAI;
using InferenceServer.Operations;

namespace InferenceServer.Api.Adapters;

internal static class AdapterRoutes
{
    public static void AddServices(IServiceCollection services) => services.AddSingleton<AdapterEndpoints>();

    public static void Map(WebApplication app)
    {
        AdapterEndpoints adapters = app.Services.GetRequiredService<AdapterEndpoints>();
        app.MapGet("/lora-adapters", (Delegate)adapters.ListAsync).WithName("listAdapters").WithTags("LoRA adapters").WithMetadata(QuietRoute.Marker)
            .WithSummary("The LoRA adapters of a model.").WithMetadata(AdapterEndpoints.Model).Produces<IReadOnlyList<AdapterDescription>>().ProducesErrors();
        app.MapPost("/lora-adapters", (Delegate)adapters.ScaleAsync).WithName("scaleAdapters").WithTags("LoRA adapters")
            .WithSummary("Say how much each adapter counts in requests that name the model alone; those that are not listed do not count.").WithMetadata(AdapterEndpoints.Model)
            .Takes<IReadOnlyList<AdapterSelection>>("""[{"id":0,"scale":0.5}]""").Produces<AdaptersScaled>().ProducesErrors();
        app.MapPost("/v1/load_lora_adapter", (Delegate)adapters.LoadAsync).WithName("loadAdapter").WithTags("LoRA adapters")
            .WithSummary("Load a LoRA adapter from a file of the server's machine.").Takes<AdapterLoadRequest>("""{"lora_name":"sql","lora_path":"/models/sql-lora.gguf"}""")
            .Produces<ModelDescription>().ProducesErrors();
        app.MapPost("/v1/unload_lora_adapter", (Delegate)adapters.UnloadAsync).WithName("unloadAdapter").WithTags("LoRA adapters")
            .WithSummary("Remove a LoRA adapter. Requests that run keep it to their end.").Takes<AdapterUnloadRequest>("""{"lora_name":"sql"}""")
            .Produces<Deletion>().ProducesErrors();
    }
}
