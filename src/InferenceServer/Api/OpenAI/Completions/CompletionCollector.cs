using System.Text;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>Gathers whole choices, and picks the best where more were generated than asked for.</summary>
internal sealed class CompletionCollector(CompletionRequest request, ServedModel model, List<GenerationRequest> requests, GenerationSet generations)
{
    private readonly Gathered[] _choices = [.. requests.Select(_ => new Gathered(request.Logprobs ?? 0))];

    private sealed class Gathered(int top)
    {
        public StringBuilder Text { get; } = new();

        public CompletionLogprobBuilder Logprobs { get; } = new(top);

        public bool HasBegun { get; set; }

        public double LogprobSum { get; set; }

        public int Tokens { get; set; }

        /// <summary>How likely its tokens are on average; a reply of no tokens is as likely as can be.</summary>
        public double MeanLogprob => Tokens == 0 ? 0 : LogprobSum / Tokens;
    }

    public void Add(int choice, GenerationEvent read)
    {
        Gathered gathered = _choices[choice];
        if (!gathered.HasBegun)
            Begin(choice, gathered);
        gathered.Text.Append(read.Text);
        if (read.Logprobs is not { } taken)
            return;
        gathered.LogprobSum += taken.Logprob;
        gathered.Tokens++;
        gathered.Logprobs.Add(model.Vocabulary, taken);
    }

    /// <summary>The choices of the first prompt, the best first where they were picked, then those of the next.</summary>
    public CompletionChoice[] Choices(GenerationResult[] results)
    {
        List<CompletionChoice> choices = [];
        for (int first = 0; first < results.Length; first += request.Generated)
        {
            IEnumerable<int> generated = Enumerable.Range(first, request.Generated);
            if (request.Generated > request.N)
                generated = generated.OrderByDescending(choice => _choices[choice].MeanLogprob).Take(request.N);
            foreach (int choice in generated)
                choices.Add(new CompletionChoice(choices.Count, _choices[choice].Text.ToString(),
                    request.Logprobs is null ? null : _choices[choice].Logprobs.Take(), GenerationOutcome.FinishReasonName(results[choice])));
        }

        return [.. choices];
    }

    private void Begin(int choice, Gathered gathered)
    {
        gathered.HasBegun = true;
        if (CompletionTranslator.Echo(request, model, requests[choice], choice / request.Generated) is not { } echo)
            return;
        gathered.Text.Append(echo.Text);
        if (generations.PromptLogprobs(choice) is { } known)
            echo.AddTo(gathered.Logprobs, model.Vocabulary, known);
    }
}
