//! The load generator: one thread, one epoll, and buffers that were made before.
//!
//! A *closed* loop sends the next payload on each connection as soon as the previous one is
//! answered (or, without responses, accepted by the socket). An *open* loop has a schedule: each
//! payload is due at its time whatever the server does, and its latency counts from then on, so
//! that a stall is charged to every payload that had to wait for the end of the stall. If more
//! payloads are due than connections are free, several are written to one connection (HTTP
//! pipelining), each still a request of its own with a response of its own. Or all of them are sent
//! in one request, as by a client that posts what has gathered since its last response. The latency
//! of each record still counts from the time at which that record was due.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::answers::Answers;
use crate::histogram::Histogram;
use crate::payloads::Payloads;
use crate::process::cpu_seconds;

/// What to send, and where.
pub struct Load<'a> {
    /// The server.
    pub address: SocketAddr,
    /// Number of connections to the server.
    pub connections: usize,
    /// The payloads to send, in turn.
    pub payloads: &'a Payloads,
    /// Number of records to send; a multiple of those in a payload.
    pub records: u64,
    /// When payloads are sent.
    pub pace: Pace,
}

/// When the next payload is sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Once the previous payload is answered.
    Closed,
    /// This many payloads per second.
    Open {
        /// The rate.
        per_second: f64,
        /// The first payloads, this many, are sent without counting their latencies.
        warm_up: u64,
    },
}

impl Pace {
    /// Returns the time at which a payload is due.
    fn due(self, start: Instant, number: u64) -> Option<Instant> {
        match self {
            Pace::Closed => None,
            Pace::Open { per_second, .. } => {
                Some(start + Duration::from_secs_f64(number as f64 / per_second))
            }
        }
    }
}

/// The result of a run.
pub struct Sent {
    /// From the first byte to the last response; without responses, until the server had read
    /// everything.
    pub seconds: f64,
    /// Number of records that the responses report as accepted; without responses, of those sent.
    pub accepted: u64,
    /// Latencies of the responses.
    pub latencies: Histogram,
    /// The generator's own processor time.
    pub cpu_seconds: f64,
    /// When the first byte was sent.
    pub start: Instant,
}

/// Maximum number of requests that wait for responses on one connection.
const PIPELINE_MAX: u64 = 16;

/// Maximum number of slices of one `writev`.
const SLICES_MAX: usize = 16;

/// The token of the timer. The tokens of connections are their numbers.
const TIMER: Token = Token(usize::MAX);

impl Load<'_> {
    /// Sends all records.
    pub fn run(&self) -> io::Result<Sent> {
        self.run_telling(|_, _| {})
    }

    /// Like [`Load::run`], and reports for each payload, by its number, when it was answered.
    pub fn run_telling(&self, mut answered: impl FnMut(u64, Instant)) -> io::Result<Sent> {
        Run::connect(self, &mut answered)?.run()
    }
}

struct Run<'a> {
    load: &'a Load<'a>,
    /// Number of payloads to send, and of those that were handed to connections and are done.
    count: u64,
    handed_out: u64,
    done: u64,
    connections: Vec<Connection>,
    /// Connections that have nothing to do, the one that has waited longest first.
    idle: VecDeque<usize>,
    closed: usize,
    poll: Poll,
    timer: OwnedFd,
    start: Instant,
    accepted: u64,
    latencies: Histogram,
    answered: &'a mut dyn FnMut(u64, Instant),
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Requests that are being written or wait for their responses, in order.
    in_flight: VecDeque<InFlight>,
    /// How many of these requests are written, and how many bytes of the next one.
    written: usize,
    offset: usize,
    answers: Answers,
}

struct InFlight {
    payload: usize,
    /// The first payload that is due, and how many are sent together.
    number: u64,
    count: u64,
    /// When the payload was handed out, from which the latency counts in a closed loop.
    since: Instant,
}

impl<'a> Run<'a> {
    /// Connects one connection after the other, so that no server is flooded, and all of them
    /// before the clock starts.
    fn connect(load: &'a Load<'a>, answered: &'a mut dyn FnMut(u64, Instant)) -> io::Result<Run<'a>> {
        assert_eq!(load.records % load.payloads.records, 0, "whole payloads");
        let poll = Poll::new()?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let mut connections = Vec::with_capacity(load.connections);
        for number in 0..load.connections {
            let stream = std::net::TcpStream::connect(load.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(Connection {
                stream,
                in_flight: VecDeque::new(),
                written: 0,
                offset: 0,
                answers: Answers::default(),
            });
        }
        Ok(Run {
            load,
            count: load.records / load.payloads.records,
            handed_out: 0,
            done: 0,
            idle: (0..connections.len()).collect(),
            connections,
            closed: 0,
            poll,
            timer,
            start: Instant::now(),
            accepted: 0,
            latencies: Histogram::new(),
            answered,
            buffer: vec![0; 256 << 10],
        })
    }

    fn run(mut self) -> io::Result<Sent> {
        let mut events = Events::with_capacity(1024);
        let cpu = cpu_seconds("self");
        self.start = Instant::now();
        while self.done < self.count {
            let wait = self.hand_out()?;
            if self.done < self.count {
                self.poll.poll(&mut events, wait)?;
                self.handle(&events)?;
            }
        }
        if !self.load.payloads.are_answered {
            self.wait_for_end(&mut events)?;
        }
        Ok(Sent {
            seconds: self.start.elapsed().as_secs_f64(),
            accepted: self.accepted,
            latencies: self.latencies,
            cpu_seconds: cpu_seconds("self") - cpu,
            start: self.start,
        })
    }

    /// Hands the payloads that are due to idle connections. Returns how long no other payload will
    /// be due.
    fn hand_out(&mut self) -> io::Result<Option<Duration>> {
        loop {
            let now = Instant::now();
            let due = self.due(now) - self.handed_out;
            let is_waiting = due > 0 && !self.idle.is_empty();
            if !is_waiting {
                let is_backlogged = due > 0 || self.handed_out == self.count;
                return if is_backlogged { Ok(None) } else { self.arm(now) };
            }
            let share = due.div_ceil(self.idle.len() as u64);
            let Some(connection) = self.idle.pop_front() else { continue };
            let Payloads { bytes, gather, .. } = self.load.payloads;
            let (requests, count) =
                if *gather { (1, share.min(bytes.len() as u64)) } else { (share.min(self.pipeline()), 1) };
            for _ in 0..requests {
                let number = self.handed_out;
                self.handed_out += count;
                let payload = if *gather { count - 1 } else { number % bytes.len() as u64 } as usize;
                let request = InFlight { payload, number, count, since: now };
                self.connections[connection].in_flight.push_back(request);
            }
            self.write(connection)?;
        }
    }

    fn pipeline(&self) -> u64 {
        match self.load.pace {
            Pace::Closed => 1,
            Pace::Open { .. } => PIPELINE_MAX,
        }
    }

    /// Returns how many of all payloads are due by now.
    fn due(&self, now: Instant) -> u64 {
        match self.load.pace {
            Pace::Closed => self.count,
            Pace::Open { per_second, .. } => {
                let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
                (1 + (elapsed * per_second) as u64).clamp(self.handed_out, self.count)
            }
        }
    }

    /// Sets the timer to end the wait when the next payload is due, because epoll's own timeout
    /// counts in milliseconds.
    fn arm(&self, now: Instant) -> io::Result<Option<Duration>> {
        let Some(due) = self.load.pace.due(self.start, self.handed_out) else { return Ok(None) };
        let wait = due.saturating_duration_since(now);
        if wait.is_zero() {
            return Ok(Some(Duration::ZERO));
        }
        let value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(None)
    }

    fn handle(&mut self, events: &Events) -> io::Result<()> {
        for event in events {
            // The timer need not be read: setting it again removes its old expiration.
            if event.token() == TIMER {
                continue;
            }
            let connection = event.token().0;
            if event.is_readable() {
                self.read(connection)?;
            }
            if event.is_writable() && !self.connections[connection].is_written() {
                self.write(connection)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.write(&self.load.payloads.bytes)?;
        if !self.load.payloads.are_answered && connection.is_written() {
            let written = connection.in_flight.len() as u64;
            connection.in_flight.clear();
            connection.written = 0;
            self.done += written;
            self.accepted += written * self.load.payloads.records;
            self.idle.push_back(number);
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        loop {
            let length = match connection.stream.read(&mut self.buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if length == 0 {
                self.closed += 1;
                let is_early = self.done < self.count || self.load.payloads.are_answered;
                return if is_early { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
            }
            let now = Instant::now();
            let Connection { in_flight, written, answers, .. } = connection;
            let pace = self.load.pace;
            let warm_up = match pace {
                Pace::Closed => 0,
                Pace::Open { warm_up, .. } => warm_up,
            };
            let Payloads { records, are_counted, .. } = *self.load.payloads;
            let (mut unasked, mut uncounted) = (0, 0);
            answers.read(&self.buffer[..length], |accepted| {
                let Some(answered) = in_flight.pop_front().filter(|_| *written > 0) else {
                    unasked += 1;
                    return;
                };
                *written -= 1;
                self.done += answered.count;
                uncounted += u64::from(are_counted && accepted.is_none());
                self.accepted += accepted.unwrap_or(records);
                for number in answered.number..answered.number + answered.count {
                    (self.answered)(number, now);
                }
                for number in answered.number.max(warm_up)..answered.number + answered.count {
                    let since = pace.due(self.start, number).unwrap_or(answered.since);
                    self.latencies.add(now.saturating_duration_since(since));
                }
            })?;
            if unasked > 0 {
                return Err(io::Error::other("an answer that nothing asked for"));
            }
            if uncounted > 0 {
                return Err(io::Error::other("an answer without a count"));
            }
            if in_flight.is_empty() {
                self.idle.push_back(number);
            }
            if length < self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Ends all connections, and waits until the server has read them to their ends and has closed
    /// them too.
    fn wait_for_end(&mut self, events: &mut Events) -> io::Result<()> {
        for connection in &self.connections {
            connection.stream.shutdown(Shutdown::Write)?;
        }
        while self.closed < self.connections.len() {
            self.poll.poll(events, None)?;
            self.handle(events)?;
        }
        Ok(())
    }
}

impl Connection {
    fn is_written(&self) -> bool {
        self.written == self.in_flight.len()
    }

    /// Writes until everything is written or the socket accepts no more.
    fn write(&mut self, payloads: &[Vec<u8>]) -> io::Result<()> {
        while !self.is_written() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let waiting = self.in_flight.range(self.written..).take(SLICES_MAX);
            let mut used = 0;
            for (slice, waiting) in slices.iter_mut().zip(waiting) {
                let skip = if used == 0 { self.offset } else { 0 };
                *slice = IoSlice::new(&payloads[waiting.payload][skip..]);
                used += 1;
            }
            let mut length = match self.stream.write_vectored(&slices[..used]) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            for slice in &slices[..used] {
                if length < slice.len() {
                    self.offset += length;
                    break;
                }
                length -= slice.len();
                self.written += 1;
                self.offset = 0;
            }
        }
        Ok(())
    }
}
