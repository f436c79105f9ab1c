macro_rules! kinds {
    ($($(#[$about:meta])* $kind:ident,)*) => {
        /// The kind of an event. Each comment says what the subject is, and after a semicolon what
        /// the detail is. A goroutine, a P or an M is given by its number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Kind {
            $($(#[$about])* $kind,)*
        }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$kind,)*];
        }
    };
}

kinds! {
    /// A goroutine. Events with its site and its name may follow.
    Spawn,
    /// The second word is the address of the spawn's `Location`.
    Site,
    /// The second word is eight bytes of the goroutine's name.
    Name,
    /// A goroutine.
    Ready,
    /// A goroutine.
    Run,
    /// A goroutine; its wait reason.
    Park,
    /// A goroutine.
    Yield,
    /// No subject: the running goroutine has ended, and no other runs at once. If another does,
    /// only its `Run` is recorded.
    End,
    /// The M that begins to hold the P.
    Start,
    /// The M that gives the P away.
    Stop,
    /// A goroutine that ran too long; the M whose P was retaken.
    Retake,
    /// A goroutine that was taken out of a `run_next`.
    Rescue,
    /// The P from which an M stole; how many goroutines.
    Steal,
    /// A goroutine that begins a blocking call.
    Block,
    /// A goroutine whose blocking call has ended.
    Unblock,
    /// How many goroutines the poller readied.
    Netpoll,
    /// The P whose timers fired; how many they readied.
    Timers,
    /// An M whose thread starts.
    ThreadStart,
    /// An M whose thread ends.
    ThreadEnd,
    /// How many parked stacks were compacted in a pass.
    Compact,
    /// The new GOMAXPROCS.
    Procs,
}

const KIND_BITS: u32 = 8;
const DETAIL_BITS: u32 = u16::BITS;

/// In nanoseconds the 56 bits of the time are two years. The subject has 48 bits, which is more
/// goroutines than a program spawns in months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at_ns: u64,
    pub(crate) kind: Kind,
    /// The second word.
    pub(crate) word: u64,
}

impl Event {
    pub(crate) fn new(at_ns: u64, kind: Kind, subject: u64, detail: u64) -> Self {
        Self {
            at_ns,
            kind,
            word: subject << DETAIL_BITS | detail.min(u16::MAX.into()),
        }
    }

    pub(crate) fn subject(self) -> u64 {
        self.word >> DETAIL_BITS
    }

    pub(crate) fn detail(self) -> u64 {
        (self.word as u16).into()
    }

    pub(crate) fn pack(self) -> [u64; 2] {
        [self.at_ns << KIND_BITS | self.kind as u64, self.word]
    }

    pub(crate) fn unpack([first, word]: [u64; 2]) -> Option<Self> {
        let kind = (first & ((1 << KIND_BITS) - 1)) as usize;
        Some(Self {
            at_ns: first >> KIND_BITS,
            kind: *Kind::ALL.get(kind)?,
            word,
        })
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_unpacked_from_its_two_words() {
        for (value, &kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(value, kind as usize);
            let event = Event::new((1 << 56) - 1, kind, (1 << 48) - 1, 7);
            assert_eq!(Event::unpack(event.pack()), Some(event));
            assert_eq!((event.subject(), event.detail()), ((1 << 48) - 1, 7));
        }
        assert_eq!(Event::unpack([255, 0]), None);
    }

    #[test]
    fn detail_that_does_not_fit_becomes_the_maximum() {
        let event = Event::new(1, Kind::Steal, 3, u64::MAX);
        assert_eq!((event.subject(), event.detail()), (3, u16::MAX.into()));
    }
}
