//! Bugs planted on purpose: the simulator must find each of them.
//!
//! Promises: without the feature `mutations`, which nothing that is shipped asks for, `has` is
//! constantly false and no bug can be switched on. Each names the rule that it breaks; some are
//! switched in these machines, some in the simulator's shells, where the rule is the shell's.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A write is stable before the slowest member has it.
    AcknowledgeBeforeLastMember,
    /// A swap counts as done when it is sent.
    AcknowledgeInDoubt,
    /// Any replica of the slice may succeed the primary.
    PromoteNonMember,
    /// An epoch is kept in memory only.
    EpochNotPersisted,
    /// A backup logs a record whose predecessor it lacks.
    AcceptGap,
    /// Logs are compared by sequence numbers.
    CompareSequencesOnly,
    /// A store flushes what is in its own log.
    FlushUnstable,
    /// In recovery the higher version stands, instead of the primary's.
    NewerVersionWins,
    /// Each replica decides by its own clock what retention drops.
    RetentionLocal,
    /// Leases are measured by the clock of the wall.
    LeaseOnWallClock,
    /// The lease is checked for the next read's snapshot, ahead of it. (Checked when the same read comes in, it
    /// would do no harm: a write that a later primary answers is not before a read that was asked already.)
    LeaseBeforeSnapshot,
    /// A merge deletes files that a recovery still copies.
    MergeDeletesPinned,
    /// The source of a move is deleted on a hint.
    SourceDeletedEarly,
    /// Files are copied without the producers' numbers.
    DeduplicationNotShipped,
    /// A scheduler undoes what was prepared when its leader is silent for long.
    UndoOnTimeout,
    /// A scheduler that is not Normal may lead the tag changes.
    LeaderFromOutside,
    /// Batches of tag changes are told apart by their numbers, not by the chain's hash.
    CommitWithoutChainHash,
    /// The next ordinal is taken from the highest one in use.
    OrdinalReused,
    /// A statement takes a tag for made as soon as its batch is prepared.
    SampleBeforeCommit,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 19] = [
        Mutation::AcknowledgeBeforeLastMember,
        Mutation::AcknowledgeInDoubt,
        Mutation::PromoteNonMember,
        Mutation::EpochNotPersisted,
        Mutation::AcceptGap,
        Mutation::CompareSequencesOnly,
        Mutation::FlushUnstable,
        Mutation::NewerVersionWins,
        Mutation::RetentionLocal,
        Mutation::LeaseOnWallClock,
        Mutation::LeaseBeforeSnapshot,
        Mutation::MergeDeletesPinned,
        Mutation::SourceDeletedEarly,
        Mutation::DeduplicationNotShipped,
        Mutation::UndoOnTimeout,
        Mutation::LeaderFromOutside,
        Mutation::CommitWithoutChainHash,
        Mutation::OrdinalReused,
        Mutation::SampleBeforeCommit,
    ];
}

/// Which bug is planted, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(feature = "mutations")]
    mutation: Option<Mutation>,
}

impl Planted {
    /// Plants a bug.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn with(mutation: Option<Mutation>) -> Planted {
        Planted { mutation }
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn has(&self, mutation: Mutation) -> bool {
        #[cfg(feature = "mutations")]
        return self.mutation == Some(mutation);
        #[cfg(not(feature = "mutations"))]
        {
            let _ = mutation;
            false
        }
    }
}
