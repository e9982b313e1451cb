namespace InferenceServer.Tests.Api;

/// <summary>Guards against a server that does not start, since the model's template fails on the chat of its own self-check.</summary>
public sealed class FailingTemplateTests(FailingTemplateTests.FailingServer server) : IClassFixture<FailingTemplateTests.FailingServer>
{
    public sealed class FailingServer : TinyServer
    {
        protected override string ChatTemplate => "{% if messages|length < 3 %}{{ raise_exception('This template wants three messages.') }}{% endif %}{% for m in messages %}{{ m.content }}\n{% endfor %}";
    }

    [Fact]
    public async Task It_starts_and_tells_each_chat_that_fails_while_the_rest_works()
    {
        string model = server.Model.Id;
        await ErrorTests.AssertErrorAsync(await server.Host.PostAsync("/v1/chat/completions", $$"""{"model":"{{model}}","messages":[{"role":"user","content":"Hi"}]}"""), 400, "messages", "template_refused");
        await server.Host.PostJsonAsync("/v1/completions", $$"""{"model":"{{model}}","prompt":"Hi","max_tokens":2}""");
        await server.Host.PostJsonAsync("/v1/chat/completions",
            $$"""{"model":"{{model}}","max_tokens":2,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}""");
    }
}
