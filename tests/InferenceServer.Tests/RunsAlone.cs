namespace InferenceServer.Tests;

/// <summary>Keeps both cores busy for seconds: beside it, tests of how requests meet in a batch would measure the machine.</summary>
[CollectionDefinition(nameof(RunsAlone), DisableParallelization = true)]
public sealed class RunsAlone;
