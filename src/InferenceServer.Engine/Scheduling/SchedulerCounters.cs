namespace InferenceServer.Engine.Scheduling;

/// <summary>Counts that only grow. accepted == waiting + running + finished + cancelled + failed; prompt == computed + cached.</summary>
internal sealed class SchedulerCounters
{
    public long Accepted { get; set; }
    public long Finished { get; set; }
    public long Cancelled { get; set; }
    public long Failed { get; set; }

    /// <summary>Prompt tokens that were reached for the first time, computed or cached.</summary>
    public long Prompt { get; set; }
    public long PromptComputed { get; set; }
    public long PromptCached { get; set; }

    /// <summary>Of the cached tokens, those that came back from host memory.</summary>
    public long HostHits { get; set; }

    /// <summary>Of the cached tokens, those that were read from disk for it.</summary>
    public long DiskHits { get; set; }

    /// <summary>Tokens computed again after a preemption or a failed step.</summary>
    public long Recomputed { get; set; }
    public long Completion { get; set; }

    /// <summary>Guessed tokens that were verified, those that came true, and tokens that a grammar left no choice about.</summary>
    public long Drafted { get; set; }
    public long DraftsAccepted { get; set; }

    /// <summary>Of the guesses, those of a draft model.</summary>
    public long ModelDrafted { get; set; }
    public long ModelDraftsAccepted { get; set; }
    public long Forced { get; set; }

    /// <summary>Reply tokens of requests that were cancelled.</summary>
    public long Wasted { get; set; }
    public long Steps { get; set; }
    public long FailedSteps { get; set; }

    /// <summary>Steps that computed with other LoRA adapters than the one before.</summary>
    public long AdapterChanges { get; set; }

    /// <summary>Time spent in all steps together: on their rows, on operations on the KV memory, and on sampling.</summary>
    public double StepSeconds { get; set; }
    public double OperationSeconds { get; set; }
    public double SamplingSeconds { get; set; }

    /// <summary>Tokens that the device drew.</summary>
    public long DeviceDraws { get; set; }

    /// <summary>Steps that had the shape of the one before.</summary>
    public long GraphReuses { get; set; }
    public long DecodeSteps { get; set; }
    public long DecodeRows { get; set; }
    public long Preemptions { get; set; }

    public void CountEnd(FinishReason reason)
    {
        switch (reason)
        {
            case FinishReason.Stop or FinishReason.Length:
                Finished++;
                break;
            case FinishReason.Cancelled or FinishReason.DeadlineExceeded:
                Cancelled++;
                break;
            default:
                Failed++;
                break;
        }
    }
}
