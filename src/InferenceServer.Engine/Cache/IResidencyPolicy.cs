namespace InferenceServer.Engine.Cache;

/// <summary>When entries that nobody uses leave the pool although their cells are not needed. Pure; chosen by what the device was measured to cost.</summary>
internal interface IResidencyPolicy
{
    /// <summary>Saved entries that no arrival continues leave when work begins after a rest.</summary>
    bool UnloadsAtRest { get; }

    /// <summary>How many rows may be computed beside an idle entry until it leaves; <see cref="int.MaxValue"/>: any number.</summary>
    /// <param name="isSaved">A lower tier has it already.</param>
    /// <param name="canSave">A lower tier will have it.</param>
    int RowsUntilLeaving(bool isSaved, bool canSave);
}
