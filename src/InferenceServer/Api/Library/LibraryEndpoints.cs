using System.Text.Json;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.Streaming;
using InferenceServer.Library;

namespace InferenceServer.Api.Library;

/// <summary>POST /v1/models/pull, POST /v1/models/verify, DELETE /v1/models/{id}.</summary>
internal sealed class LibraryEndpoints(LibraryAccess access, ModelPulls pulls, TimeProvider clock)
{
    public async Task PullAsync(HttpContext http)
    {
        ModelPullRequest request = await JsonBody.ReadAsync(http, (root, ignored) =>
        {
            JsonFields body = new(root, "");
            ModelPullRequest read = new(body.RequireString("model")) { Name = body.String("name"), Stream = body.Boolean("stream") ?? false };
            body.Close(ignored);
            return read;
        });
        using PullListener listener = pulls.Join(request.Model, request.Name);
        if (!request.Stream)
        {
            await JsonAnswer.WriteAsync(http, LibraryModel.Of(await listener.Result.WaitAsync(http.RequestAborted)), LibraryJson.Wire.LibraryModel);
            return;
        }

        using SseBuffer buffer = new(http.Response.BodyWriter);
        await PullStream.WriteAsync(http, listener, clock, EventStream.ServerSentEvents, buffer,
            progress => Event(new ModelPullEvent(StatusOf(progress.Phase))
            {
                File = progress.File?.Name,
                Digest = progress.File is { } file ? $"sha256:{file.Sha256}" : null,
                Completed = progress.TotalCompleted,
                Total = progress.TotalSize,
                BytesPerSecond = progress.BytesPerSecond,
                SecondsLeft = progress.TimeLeft?.TotalSeconds,
                Note = progress.Note,
            }),
            manifest =>
            {
                Event(new ModelPullEvent("success") { Completed = manifest.SizeBytes, Total = manifest.SizeBytes, Model = LibraryModel.Of(manifest) });
                buffer.Raw("data: [DONE]\n\n"u8);
            },
            problem =>
            {
                buffer.Raw("data: "u8);
                buffer.Json(ErrorResponse.From(problem), OpenAIJson.Wire.ErrorResponse);
                buffer.Raw("\n\n"u8);
            });

        void Event(ModelPullEvent told)
        {
            buffer.Raw("data: "u8);
            buffer.Json(told, LibraryJson.Wire.ModelPullEvent);
            buffer.Raw("\n\n"u8);
        }
    }

    public async Task VerifyAsync(HttpContext http)
    {
        string? model = await JsonBody.ReadAsync(http, (root, ignored) =>
        {
            JsonFields body = new(root, "");
            string? read = body.String("model");
            body.Close(ignored);
            return read;
        });
        IReadOnlyList<FileCheck> checks = await access.ToChange().VerifyAsync(model, null, http.RequestAborted);
        await JsonAnswer.WriteAsync(http, new ModelVerification("list", checks.All(check => check.Problem is null),
            [.. checks.Select(check => new FileVerification(check.Model, check.File.Name, check.File.Sha256, check.Problem is null, check.Problem))]), LibraryJson.Wire.ModelVerification);
    }

    public async Task DeleteAsync(HttpContext http)
    {
        ModelRemoval removal = await access.ToChange().RemoveAsync(NameOf(http), http.RequestAborted);
        await JsonAnswer.WriteAsync(http, new Deletion(ModelName.Parse(removal.Name).Display, "model", true), OpenAIJson.Wire.Deletion);
    }

    /// <summary>The name in a route: <c>{id}</c>, or <c>{owner}/{id}</c>.</summary>
    public static string NameOf(HttpContext http) => http.Request.RouteValues["owner"] is string owner ? $"{owner}/{http.Request.RouteValues["id"]}" : (string)http.Request.RouteValues["id"]!;

    private static string StatusOf(PullPhase phase) => phase switch
    {
        PullPhase.ReadingManifest => "reading",
        PullPhase.WritingManifest => "writing",
        PullPhase.Done => "success",
        _ => phase.ToString().ToLowerInvariant(),
    };
}
