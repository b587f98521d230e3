//! Whoever brings the faults: from a seed, one or two at a time, of all kinds that the machine allows.
//!
//! It promises that `heal` leaves nothing broken, and that the same seed brings the same faults in the same order; when each of
//! them strikes is the machine's affair. It may not know what clients do meanwhile.

use crate::{Dice, Etcd, Fleet};
use std::time::{Duration, Instant};

/// A fault; numbers are those of doors, data nodes and members.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillData(usize),
    KillDoor(usize),
    SleepData(usize),
    SleepDoor(usize),
    /// Neither hears nor is heard by anybody.
    DataAlone(usize),
    /// A data node does not hear another.
    DataDeaf(usize, usize),
    /// A data node does not hear the etcd.
    DataWithoutMeta(usize),
    /// One of each kind on one side, all others on the other.
    Sides(usize),
    DataSlow(usize),
    EtcdMember(usize),
    EtcdAway,
    DiskFull,
    /// So many seconds, of a data node's wall clock.
    Clock(i64),
}

/// The data node whose disk gets full, and the one whose clock moves.
const WITH_SMALL_DISK: usize = 0;
const WITH_CLOCK: usize = 1;
/// The longest that a fault lasts: far longer than a lease.
const FAULT_MS_MAX: usize = 2_500;

/// Faults for a fleet over an etcd of three members.
pub struct Nemesis {
    /// Whom they strike.
    pub fleet: Fleet,
    etcd: Etcd,
    dice: Dice,
    has_disk: bool,
    has_clock: bool,
    asleep: Vec<Fault>,
    is_full: bool,
    begun: Instant,
}

impl Nemesis {
    /// Takes a fleet of which nothing runs yet, and starts so many of each.
    #[must_use]
    pub fn start(mut fleet: Fleet, etcd: Etcd, doors: usize, data: usize, seed: u64) -> Nemesis {
        let has_disk = fleet.small_disk(&format!("data-{WITH_SMALL_DISK}"), 256).is_some();
        let has_clock = fleet.own_clock(&format!("data-{WITH_CLOCK}"));
        fleet.start_all(doors, data);
        let (dice, begun) = (Dice::new(seed, 0), Instant::now());
        Nemesis { fleet, etcd, dice, has_disk, has_clock, asleep: Vec::new(), is_full: false, begun }
    }

    /// One round: a fault or two at once, for a while; then all is healed, though not yet well.
    pub async fn round(&mut self) {
        for _ in 0..1 + self.dice.below(2) {
            let fault = self.draw();
            eprintln!("{:6.2} s  {fault:?}", self.begun.elapsed().as_secs_f64());
            self.inflict(fault);
            self.pause(FAULT_MS_MAX).await;
        }
        self.heal();
        self.pause(FAULT_MS_MAX / 2).await;
    }

    /// How long a fault lasts is the fault itself, not a condition that is waited for.
    async fn pause(&mut self, ms_max: usize) {
        let ms = self.dice.below(ms_max) as u64;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    fn draw(&mut self) -> Fault {
        let (doors, data) = (self.fleet.doors.len(), self.fleet.data.len());
        loop {
            let node = self.dice.below(data);
            let fault = match self.dice.below(14) {
                0 | 1 => Fault::KillData(node),
                2 => Fault::KillDoor(self.dice.below(doors)),
                3 | 4 => Fault::SleepData(node),
                5 => Fault::SleepDoor(self.dice.below(doors)),
                6 => Fault::DataAlone(node),
                7 => Fault::DataDeaf(node, (node + 1) % data),
                8 => Fault::Sides(self.dice.below(doors.min(data).min(3))),
                9 => Fault::DataSlow(node),
                10 => Fault::EtcdMember(self.dice.below(3)),
                11 => Fault::EtcdAway,
                12 => Fault::DataWithoutMeta(node),
                _ if self.dice.below(2) == 0 => Fault::DiskFull,
                _ => Fault::Clock(self.dice.below(200_000) as i64 - 100_000),
            };
            let can = match fault {
                Fault::DataAlone(_) | Fault::DataDeaf(..) | Fault::DataWithoutMeta(_) | Fault::Sides(_) | Fault::DataSlow(_) => {
                    self.fleet.network.can_cut()
                }
                Fault::DiskFull => self.has_disk && !self.is_full,
                Fault::Clock(_) => self.has_clock,
                _ => true,
            };
            if can {
                return fault;
            }
        }
    }

    fn inflict(&mut self, fault: Fault) {
        let fleet = &mut self.fleet;
        match fault {
            // It may have been killed a moment ago.
            Fault::KillData(number) if fleet.data[number].is_some() => fleet.kill_data(number),
            Fault::KillDoor(number) if fleet.doors[number].is_some() => fleet.kill_door(number),
            Fault::SleepData(_) | Fault::SleepDoor(_) => {
                self.asleep.push(fault);
                self.signal(fault, "STOP");
            }
            Fault::KillData(_) | Fault::KillDoor(_) => {}
            Fault::DataAlone(number) => fleet.network.isolate(&format!("data-{number}")),
            Fault::DataDeaf(from, to) => fleet.network.cut(&format!("data-{from}"), &format!("data-{to}")),
            Fault::DataWithoutMeta(number) => {
                (0..3).for_each(|member| fleet.network.cut(&format!("etcd-{member}"), &format!("data-{number}")));
            }
            Fault::Sides(number) => {
                let kinds = [("door", fleet.doors.len()), ("data", fleet.data.len()), ("etcd", 3)];
                let all =
                    kinds.iter().flat_map(|(kind, count)| (0..*count).map(move |at| (at == number, format!("{kind}-{at}"))));
                let (one, mut other): (Vec<_>, Vec<_>) = all.partition(|(on_it, _)| *on_it);
                other.push((false, "client".to_owned()));
                let names = |side: &[(bool, String)]| side.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
                fleet.network.part(&names(&one), &names(&other));
            }
            Fault::DataSlow(number) => fleet.network.slow(&format!("data-{number}")),
            Fault::EtcdMember(number) => self.etcd.kill_member(number),
            Fault::EtcdAway => self.etcd.kill(),
            Fault::DiskFull => {
                self.is_full = true;
                fleet.disk(&format!("data-{WITH_SMALL_DISK}")).expect("it is mounted").fill();
            }
            Fault::Clock(seconds) => fleet.move_clock(&format!("data-{WITH_CLOCK}"), seconds),
        }
    }

    fn signal(&self, fault: Fault, signal: &str) {
        let process = match fault {
            Fault::SleepData(number) => self.fleet.data[number].as_ref(),
            Fault::SleepDoor(number) => self.fleet.doors[number].as_ref(),
            _ => None,
        };
        // It may have been killed since.
        if let Some(process) = process {
            process.signal(signal);
        }
    }

    /// Links are whole, disks have room, everybody is awake and runs. A clock stays where it is.
    ///
    /// # Panics
    /// When a process does not come up.
    pub fn heal(&mut self) {
        self.fleet.network.heal();
        for fault in std::mem::take(&mut self.asleep) {
            self.signal(fault, "CONT");
        }
        if std::mem::take(&mut self.is_full) {
            self.fleet.disk(&format!("data-{WITH_SMALL_DISK}")).expect("it is mounted").clear();
        }
        self.etcd.restart();
        for number in 0..self.fleet.data.len() {
            if let Some(status) = self.fleet.ended_data(number) {
                // A store that failed, on its full disk, asks to be opened again; nothing else ends a node.
                let full = number == WITH_SMALL_DISK && status.code() == Some(75);
                assert!(full, "data-{number} ended with {status}; logs: {}", self.fleet.path().display());
            }
            if self.fleet.data[number].is_none() {
                self.fleet.start_data(number);
            }
        }
        for number in 0..self.fleet.doors.len() {
            if self.fleet.doors[number].is_none() {
                self.fleet.start_door(number);
            }
        }
    }
}
