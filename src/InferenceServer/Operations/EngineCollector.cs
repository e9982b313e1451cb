using InferenceServer.Engine;
using InferenceServer.Models;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>One engine's gauges and counters, read from its snapshot at each scrape.</summary>
internal sealed class EngineCollector
{
    private readonly Gauge.Child _up, _waiting, _running, _cells, _cellsPrivate, _cellsPinned, _cellsCached, _cellsFree, _leaves, _hostBytes, _decodeStep, _diskBytes, _diskEntries, _adapters, _draftModelBytes;
    private readonly Counter.Child _accepted, _finished, _cancelled, _failed, _computed, _cached, _completion, _steps, _decodeSteps,
        _decodeRows, _failedSteps, _stepSeconds, _operationSeconds, _samplingSeconds, _deviceDraws, _graphReuses, _restores, _evicted, _evictedForIds, _hostHits, _recomputed, _wasted, _preemptions, _diskHits, _diskWrites,
        _diskWrittenBytes, _diskIgnored, _diskDamaged, _diskErrors, _checkpointsTaken, _checkpointsRestored, _draftsAccepted, _draftsRejected, _modelDraftsAccepted, _modelDraftsRejected, _draftSeconds, _forced, _adapterChanges;

    private readonly ServedModel _model;
    private readonly List<Action> _removals = [];

    public EngineCollector(MetricFactory factory, ServedModel model)
    {
        _model = model;
        string id = model.Id;
        _up = Of(factory.CreateGauge("inference_engine_up", "1 while the engine can compute; 0 when its thread or device has failed, or a step hangs.", "model"), id);
        _waiting = Of(factory.CreateGauge("inference_requests_waiting", "Requests in the engine's queue.", "model"), id);
        _running = Of(factory.CreateGauge("inference_requests_running", "Requests that hold a sequence.", "model"), id);
        _cells = Of(factory.CreateGauge("inference_kv_capacity_cells", "Cells of the KV pool, one for a token of a sequence.", "model"), id);
        Gauge cells = factory.CreateGauge("inference_kv_cells",
            "Cells by state: private to running requests, pinned or evictable cache, free. They add up to the capacity.", "model", "state");
        _cellsPrivate = Of(cells, id, "private");
        _cellsPinned = Of(cells, id, "pinned");
        _cellsCached = Of(cells, id, "cached");
        _cellsFree = Of(cells, id, "free");
        _leaves = Of(factory.CreateGauge("inference_prefix_cache_leaves", "Prefixes that the KV pool holds.", "model"), id);
        _hostBytes = Of(factory.CreateGauge("inference_host_cache_bytes", "Evicted KV kept in host memory.", "model"), id);
        _diskBytes = Of(factory.CreateGauge("inference_disk_cache_bytes", "Files of the disk cache, those of other models included.", "model"), id);
        _diskEntries = Of(factory.CreateGauge("inference_disk_cache_entries", "Files of the disk cache that serve this model.", "model"), id);
        _decodeStep = Of(factory.CreateGauge("inference_decode_step_seconds", "A step without prefill, as learnt from the last ones.", "model"), id);

        _accepted = Of(factory.CreateCounter("inference_engine_accepted_requests_total", "Generations that the engine took.", "model"), id);
        Counter ended = factory.CreateCounter("inference_engine_ended_requests_total", "Generations that ended, by how.", "model", "outcome");
        _finished = Of(ended, id, "finished");
        _cancelled = Of(ended, id, "cancelled");
        _failed = Of(ended, id, "failed");
        Counter prompt = factory.CreateCounter("inference_prompt_tokens_total", "Prompt tokens, computed or found in the prefix cache.", "model", "source");
        _computed = Of(prompt, id, "computed");
        _cached = Of(prompt, id, "cached");
        _completion = Of(factory.CreateCounter("inference_completion_tokens_total", "Generated tokens.", "model"), id);
        _steps = Of(factory.CreateCounter("inference_engine_steps_total", "Decode calls.", "model"), id);
        _decodeSteps = Of(factory.CreateCounter("inference_decode_steps_total", "Steps that generated for at least one request.", "model"), id);
        _decodeRows = Of(factory.CreateCounter("inference_decode_rows_total",
            "Rows that generated; divided by inference_decode_steps_total: the mean batch.", "model"), id);
        _failedSteps = Of(factory.CreateCounter("inference_engine_failed_steps_total", "Decode calls that failed.", "model"), id);
        _stepSeconds = Of(factory.CreateCounter("inference_engine_step_seconds_total", "Time spent in decode calls; divided by inference_engine_steps_total: the mean step.", "model"), id);
        _operationSeconds = Of(factory.CreateCounter("inference_engine_operation_seconds_total", "Time spent on the KV pool between decode calls: sharing, saving and restoring.", "model"), id);
        _samplingSeconds = Of(factory.CreateCounter("inference_engine_sampling_seconds_total", "Time spent on sampling after decode calls.", "model"), id);
        _deviceDraws = Of(factory.CreateCounter("inference_engine_device_draws_total",
            "Tokens that the device drew; the host drew the others.", "model"), id);
        _graphReuses = Of(factory.CreateCounter("inference_engine_graph_reuses_total",
            "Decode calls that had the shape of the call before, so that its graph was used again; the rest built one.", "model"), id);
        _restores = Of(factory.CreateCounter("inference_restores_total", "Saved pieces of KV that were brought back into the pool.", "model"), id);
        _hostHits = Of(factory.CreateCounter("inference_host_hit_tokens_total", "Cached prompt tokens that came back from host memory.", "model"), id);
        _diskHits = Of(factory.CreateCounter("inference_disk_hit_tokens_total", "Cached prompt tokens that came back from disk.", "model"), id);
        _diskWrites = Of(factory.CreateCounter("inference_disk_cache_writes_total", "Files written by the disk cache.", "model"), id);
        _diskWrittenBytes = Of(factory.CreateCounter("inference_disk_cache_written_bytes_total", "Bytes written by the disk cache.", "model"), id);
        Counter checkpoints = factory.CreateCounter("inference_checkpoints_total", "Partial states saved on the way, and put back to go on from.", "model", "event");
        _checkpointsTaken = Of(checkpoints, id, "taken");
        _checkpointsRestored = Of(checkpoints, id, "restored");
        Counter refused = factory.CreateCounter("inference_disk_cache_refused_files_total",
            "Files of the disk cache that were not used: of another model or build, or damaged and so deleted.", "model", "reason");
        _diskIgnored = Of(refused, id, "foreign");
        _diskDamaged = Of(refused, id, "damaged");
        _diskErrors = Of(factory.CreateCounter("inference_disk_cache_errors_total", "Reads, writes and deletions that the file system refused.", "model"), id);
        _recomputed = Of(factory.CreateCounter("inference_recomputed_tokens_total", "Tokens computed again after a preemption.", "model"), id);
        _wasted = Of(factory.CreateCounter("inference_wasted_tokens_total", "Generated tokens of requests that were cancelled.", "model"), id);
        _evicted = Of(factory.CreateCounter("inference_evicted_tokens_total", "Cached tokens that made room for others.", "model"), id);
        _evictedForIds = Of(factory.CreateCounter("inference_evicted_for_ids_tokens_total", "Evicted tokens that left because sequence ids ran out, not cells. llama.cpp has 256 ids.", "model"), id);
        _preemptions = Of(factory.CreateCounter("inference_preemptions_total", "Running requests that made room and resumed later.", "model"), id);
        Counter drafts = factory.CreateCounter("inference_draft_tokens_total",
            "Guessed tokens that were verified beside others, by who guessed (text: the prompt, the reply so far or a prediction; model: the draft model) and by what came of them.", "model", "source", "outcome");
        _draftsAccepted = Of(drafts, id, "text", "accepted");
        _draftsRejected = Of(drafts, id, "text", "rejected");
        _modelDraftsAccepted = Of(drafts, id, "model", "accepted");
        _modelDraftsRejected = Of(drafts, id, "model", "rejected");
        _draftSeconds = Of(factory.CreateCounter("inference_draft_seconds_total", "Time spent in the draft model, between decode calls.", "model"), id);
        _draftModelBytes = Of(factory.CreateGauge("inference_draft_model_bytes", "Weights and KV pool of the draft model; 0 without one.", "model"), id);
        _forced = Of(factory.CreateCounter("inference_forced_tokens_total", "Generated tokens that a grammar left no choice about; they were not sampled.", "model"), id);
        _adapters = Of(factory.CreateGauge("inference_lora_adapters", "LoRA adapters that are loaded.", "model"), id);
        _adapterChanges = Of(factory.CreateCounter("inference_lora_changes_total",
            "Decode calls with other LoRA adapters than the call before, for which llama.cpp built its graphs anew.", "model"), id);
        Of(factory.CreateGauge("inference_model_bytes", "Weights of a loaded model.", "model"), id).Set(model.File.SizeBytes);
        if (model.Engine.KvPoolBytes is { } bytes)
            Of(factory.CreateGauge("inference_kv_pool_bytes", "The KV pool, used or not; absent for models that keep more than keys and values of every token.", "model"), id).Set(bytes);
    }

    /// <summary>Takes in what the engine says of itself now.</summary>
    public void Read()
    {
        _up.Set(_model.Engine.Failure is null ? 1 : 0);
        _adapters.Set(_model.Adapters.All.Count);
        Copy(_model.Engine.Snapshot);
    }

    /// <summary>The model was unloaded: its series end, and begin at zero should it come back.</summary>
    public void Remove() => _removals.ForEach(remove => remove());

    private T Of<T>(Collector<T> collector, params string[] labels)
        where T : ChildBase
    {
        _removals.Add(() => collector.RemoveLabelled(labels));
        return collector.WithLabels(labels);
    }

    private void Copy(EngineSnapshot now)
    {
        _waiting.Set(now.WaitingRequests);
        _running.Set(now.RunningRequests);
        _cells.Set(now.CellsTotal);
        _cellsPrivate.Set(now.CellsPrivate);
        _cellsPinned.Set(now.CellsPinned);
        _cellsCached.Set(now.CellsCached);
        _cellsFree.Set(now.CellsFree);
        _leaves.Set(now.CachedLeaves);
        _accepted.IncTo(now.AcceptedRequests);
        _finished.IncTo(now.FinishedRequests);
        _cancelled.IncTo(now.CancelledRequests);
        _failed.IncTo(now.FailedRequests);
        _computed.IncTo(now.PromptTokensComputed);
        _cached.IncTo(now.PromptTokensCached);
        _completion.IncTo(now.CompletionTokens);
        _steps.IncTo(now.Steps);
        _decodeSteps.IncTo(now.DecodeSteps);
        _decodeRows.IncTo(now.DecodeRows);
        _hostBytes.Set(now.HostCacheBytes);
        _decodeStep.Set(now.DecodeStepSeconds);
        _failedSteps.IncTo(now.FailedSteps);
        _adapterChanges.IncTo(now.AdapterChanges);
        _stepSeconds.IncTo(now.StepSeconds);
        _operationSeconds.IncTo(now.OperationSeconds);
        _samplingSeconds.IncTo(now.SamplingSeconds);
        _deviceDraws.IncTo(now.DeviceDraws);
        _graphReuses.IncTo(now.GraphReuses);
        _restores.IncTo(now.Restores);
        _hostHits.IncTo(now.HostHitTokens);
        _checkpointsTaken.IncTo(now.CheckpointsTaken);
        _checkpointsRestored.IncTo(now.CheckpointsRestored);
        _diskBytes.Set(now.DiskCacheBytes);
        _diskEntries.Set(now.DiskCacheEntries);
        _diskHits.IncTo(now.DiskHitTokens);
        _diskWrites.IncTo(now.DiskWrites);
        _diskWrittenBytes.IncTo(now.DiskWrittenBytes);
        _diskIgnored.IncTo(now.DiskFilesIgnored);
        _diskDamaged.IncTo(now.DiskFilesDamaged);
        _diskErrors.IncTo(now.DiskErrors);
        _recomputed.IncTo(now.RecomputedTokens);
        _wasted.IncTo(now.WastedTokens);
        _evicted.IncTo(now.EvictedTokens);
        _evictedForIds.IncTo(now.EvictedForIdsTokens);
        _preemptions.IncTo(now.Preemptions);
        _draftsAccepted.IncTo(now.DraftTokensAccepted - now.ModelDraftTokensAccepted);
        _draftsRejected.IncTo(now.DraftTokens - now.DraftTokensAccepted - (now.ModelDraftTokens - now.ModelDraftTokensAccepted));
        _modelDraftsAccepted.IncTo(now.ModelDraftTokensAccepted);
        _modelDraftsRejected.IncTo(now.ModelDraftTokens - now.ModelDraftTokensAccepted);
        _draftSeconds.IncTo(now.DraftSeconds);
        _draftModelBytes.Set(now.DraftModelBytes);
        _forced.IncTo(now.ForcedTokens);
    }
}
