use workloads::protocol::Hello;

use reports::schema::FailureKind;

use super::observer::Observer;
use super::setup::{Setup, StudyLane};
use crate::cpus::Cpus;
use crate::lane_process::{Cause, LaneCommand, LaneProcess, Limits, Stop};

/// A lane after its start.
#[derive(Clone, Debug)]
pub struct ProbedLane {
    /// The lane.
    pub lane: StudyLane,
    /// Its hello, or why there is none.
    pub known: Known,
    /// Steps of its start that the kernel refused.
    pub refused: Vec<&'static str>,
}

/// The result of a lane's probe.
#[derive(Clone, Debug)]
pub enum Known {
    /// It can be started in this way, and this is its hello.
    Runs(LaneCommand, Hello),
    /// It cannot be used.
    Absent(FailureKind, String),
}

impl ProbedLane {
    /// Starts `lane` once to read its hello. Blocks the thread for at most the hello limit.
    #[must_use]
    pub fn probe(lane: &StudyLane, cpus: &Cpus, limits: Limits, stop: &Stop) -> Self {
        let absent = |kind, message| Self {
            lane: lane.clone(),
            known: Known::Absent(kind, message),
            refused: Vec::new(),
        };
        let command = match &lane.command {
            Ok(command) => command,
            Err(missing) => return absent(FailureKind::NotInstalled, missing.to_string()),
        };
        let process = match LaneProcess::start(command, cpus, limits, stop) {
            Ok(process) => process,
            Err(failure) => return absent(kind_of(&failure.cause), failure.to_string()),
        };
        let (hello, refused) = (process.hello().clone(), process.refused());
        if hello.lane != lane.plain_name() {
            let message = format!(
                "the program started for the lane `{}` says that it is `{}`; rebuild it",
                lane.plain_name(),
                hello.lane
            );
            return absent(FailureKind::Protocol, message);
        }
        if let Err(failure) = process.quit() {
            return absent(kind_of(&failure.cause), failure.to_string());
        }
        Self {
            lane: lane.clone(),
            known: Known::Runs(command.clone(), hello),
            refused,
        }
    }

    /// Why the lane does not run the workload; `None` if it does.
    #[must_use]
    pub fn refusal(&self, workload: &str) -> Option<(FailureKind, String)> {
        match &self.known {
            Known::Absent(kind, message) => Some((*kind, message.clone())),
            Known::Runs(_, hello) => match hello.workloads.get(workload) {
                Some(None) => None,
                Some(Some(why)) => Some((FailureKind::NotSupported, why.clone())),
                None => Some((
                    FailureKind::NotSupported,
                    "this lane does not know the workload".to_owned(),
                )),
            },
        }
    }
}

pub(super) fn probe(setup: &Setup, stop: &Stop, observer: &mut dyn Observer) -> Vec<ProbedLane> {
    let ask = |lane: &StudyLane| {
        observer.preparing(&format!("starting {}", lane.name));
        ProbedLane::probe(lane, &setup.cpus, setup.limits, stop)
    };
    setup.lanes.iter().map(ask).collect()
}

pub(super) fn kind_of(cause: &Cause) -> FailureKind {
    match cause {
        Cause::CannotStart(_) => FailureKind::NotInstalled,
        Cause::NoRoom(_) => FailureKind::Limit,
        Cause::Killed {
            out_of_memory: true,
            ..
        } => FailureKind::OutOfMemory,
        Cause::Killed { .. } | Cause::Exited(_) | Cause::ClosedOutput => FailureKind::Crashed,
        Cause::TimedOut(_) => FailureKind::TimedOut,
        Cause::Garbage { .. } | Cause::WrongProtocol(_) => FailureKind::Protocol,
        _ => FailureKind::Failed,
    }
}
