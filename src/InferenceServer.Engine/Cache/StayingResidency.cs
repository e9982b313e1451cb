namespace InferenceServer.Engine.Cache;

/// <summary>Idle cells cost next to nothing, and space is what the pool is for: nothing leaves it until cells are needed.</summary>
internal sealed class StayingResidency : IResidencyPolicy
{
    public bool UnloadsAtRest => false;

    public int RowsUntilLeaving(bool isSaved, bool canSave) => int.MaxValue;
}
