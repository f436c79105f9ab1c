//! Why goroutines and threads are parked. The texts for channels, `select`, sleeps and descriptors
//! are Go's; those for locks and groups are similar to Go's.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitReason {
    None,
    ChanSend,
    ChanRecv,
    ChanSendNil,
    ChanRecvNil,
    Select,
    SelectNoCases,
    Sleep,
    Mutex,
    RwMutexRead,
    RwMutexWrite,
    Cond,
    WaitGroup,
    Semaphore,
    Once,
    Join,
    Scope,
    Io,
    Blocking,
    Suspend,
    Future,
    Synctest,
}

impl WaitReason {
    /// Each at the index of its value.
    const ALL: [Self; 22] = [
        Self::None,
        Self::ChanSend,
        Self::ChanRecv,
        Self::ChanSendNil,
        Self::ChanRecvNil,
        Self::Select,
        Self::SelectNoCases,
        Self::Sleep,
        Self::Mutex,
        Self::RwMutexRead,
        Self::RwMutexWrite,
        Self::Cond,
        Self::WaitGroup,
        Self::Semaphore,
        Self::Once,
        Self::Join,
        Self::Scope,
        Self::Io,
        Self::Blocking,
        Self::Suspend,
        Self::Future,
        Self::Synctest,
    ];

    pub(crate) fn from_u8(value: u8) -> Self {
        Self::ALL
            .get(usize::from(value))
            .copied()
            .unwrap_or(Self::None)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "running",
            Self::ChanSend => "chan send",
            Self::ChanRecv => "chan receive",
            Self::ChanSendNil => "chan send (nil chan)",
            Self::ChanRecvNil => "chan receive (nil chan)",
            Self::Select => "select",
            Self::SelectNoCases => "select (no cases)",
            Self::Sleep => "sleep",
            Self::Mutex => "sync.Mutex.lock",
            Self::RwMutexRead => "sync.RwMutex.read",
            Self::RwMutexWrite => "sync.RwMutex.write",
            Self::Cond => "sync.Cond.wait",
            Self::WaitGroup => "sync.WaitGroup.wait",
            Self::Semaphore => "semaphore acquire",
            Self::Once => "sync.Once.call",
            Self::Join => "join",
            Self::Scope => "scope",
            Self::Io => "IO wait",
            Self::Blocking => "blocking call",
            Self::Suspend => "suspended",
            Self::Future => "block_on",
            Self::Synctest => "synctest.wait",
        }
    }
}
