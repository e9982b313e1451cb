using System.ComponentModel;

namespace InferenceServer.Api;

/// <summary>A body that takes the fields of <see cref="Chat.SamplingFields"/>, which its entry in the OpenAPI document gets from there.</summary>
public abstract record SamplingParameters
{
    [Description("Extra: texts across which nothing is a repetition, up to 32. Default: a line break, a colon, a quote and an asterisk.")]
    public IReadOnlyList<string>? DrySequenceBreakers { get; init; }
}
