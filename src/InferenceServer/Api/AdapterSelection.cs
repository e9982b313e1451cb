using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace InferenceServer.Api;

/// <summary>A LoRA adapter, and how much it counts; <see cref="AdapterReader"/> reads it.</summary>
public sealed record AdapterSelection
{
    [Description("The adapter's number, as /lora-adapters lists it; this or name.")]
    [Range(0, int.MaxValue)]
    public int? Id { get; init; }

    [Description("The adapter's name, without the model's.")]
    public string? Name { get; init; }

    [Description("How much it counts.")]
    [Range(-100, 100)]
    public float Scale { get; init; } = 1;
}
