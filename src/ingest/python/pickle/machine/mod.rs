//! The stack machine: executes every opcode of protocols 0 to 5 on descriptions instead of objects.

mod containers;
mod objects;
mod values;

use super::arena::{Arena, Chain, Maker, Node, NodeId};
use super::memo::Memo;
use super::reader::PickleReader;
use super::view::PickleView;
use super::{LoadError, opcode as op};
use crate::ingest::empty;
use crate::limits::PICKLE_OPCODES_MAX;

type LoadResult<T = ()> = Result<T, LoadError>;

/// Reads a length in one of the format's sizes.
type Length<'a> = fn(&mut PickleReader<'a>) -> LoadResult<usize>;

/// Memory of the machine, reused from pickle to pickle.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) arena: Arena,
    stack: Vec<NodeId>,
    /// The height of the stack at each open `MARK`.
    marks: Vec<usize>,
    memo: Memo,
}

impl Machine {
    /// Runs a pickle up to its `STOP` and returns the value that is then on top of the stack. Bytes
    /// after the `STOP` are ignored, as in Python.
    pub(crate) fn load(&mut self, frame: &[u8]) -> LoadResult<NodeId> {
        self.start(frame.len());
        let mut run = Run { machine: self, reader: PickleReader::new(frame) };
        for _ in 0..PICKLE_OPCODES_MAX {
            match run.reader.byte()? {
                op::STOP => return run.pop(),
                opcode => run.step(opcode)?,
            }
        }
        Err(LoadError::TooComplex)
    }

    /// Returns a view of the loaded values.
    pub(crate) fn view<'a>(&'a self, frame: &'a [u8]) -> PickleView<'a> {
        PickleView::new(&self.arena, frame)
    }

    fn start(&mut self, frame_length: usize) {
        self.arena.start(frame_length);
        empty(&mut self.stack);
        empty(&mut self.marks);
        self.memo.clear();
    }
}

/// One pickle that is being run.
struct Run<'m, 'a> {
    machine: &'m mut Machine,
    reader: PickleReader<'a>,
}

impl Run<'_, '_> {
    /// Executes one opcode, as listed in this table of all opcodes.
    fn step(&mut self, opcode: u8) -> LoadResult {
        match opcode {
            op::MARK => self.machine.marks.push(self.machine.stack.len()),
            op::POP => self.discard()?,
            op::POP_MARK => self.discard_marked()?,
            op::DUP => self.machine.stack.push(self.top()?),

            op::NONE => self.push(Node::None),
            op::NEWTRUE => self.push(Node::Bool(true)),
            op::NEWFALSE => self.push(Node::Bool(false)),
            op::INT => self.integer_or_boolean_line()?,
            op::LONG => self.integer_line()?,
            op::BININT => self.integer(4)?,
            op::BININT1 => self.integer(1)?,
            op::BININT2 => self.integer(2)?,
            op::LONG1 => self.long(PickleReader::length1)?,
            op::LONG4 => self.long(PickleReader::length4_signed)?,
            op::FLOAT => self.float_line()?,
            op::BINFLOAT => self.float()?,

            op::UNICODE => self.unicode_line()?,
            op::BINUNICODE => self.unicode(PickleReader::length4)?,
            op::SHORT_BINUNICODE => self.unicode(PickleReader::length1)?,
            op::BINUNICODE8 => self.unicode(PickleReader::length8)?,
            op::STRING => self.string_line()?,
            op::BINSTRING => self.string(PickleReader::length4_signed)?,
            op::SHORT_BINSTRING => self.string(PickleReader::length1)?,
            op::BINBYTES => self.bytes(PickleReader::length4)?,
            op::SHORT_BINBYTES => self.bytes(PickleReader::length1)?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.bytes(PickleReader::length8)?,

            op::EMPTY_TUPLE => self.push(Node::Tuple(Chain::EMPTY)),
            op::EMPTY_LIST => self.push(Node::List(Chain::EMPTY)),
            op::EMPTY_DICT => self.push(Node::Dict(Chain::EMPTY)),
            op::EMPTY_SET => self.push(Node::Set(Chain::EMPTY)),
            op::TUPLE1 => self.tuple(1)?,
            op::TUPLE2 => self.tuple(2)?,
            op::TUPLE3 => self.tuple(3)?,
            op::TUPLE => self.collect(Node::Tuple)?,
            op::LIST => self.collect(Node::List)?,
            op::FROZENSET => self.collect(Node::Set)?,
            op::DICT => self.collect_dict()?,
            op::APPEND => self.append(1)?,
            op::APPENDS | op::ADDITEMS => self.append_marked()?,
            op::SETITEM => self.set(2)?,
            op::SETITEMS => self.set_marked()?,

            op::PUT => self.put(Run::number_line)?,
            op::BINPUT => self.put(Run::number1)?,
            op::LONG_BINPUT => self.put(Run::number4)?,
            op::MEMOIZE => self.machine.memo.add(self.top()?),
            op::GET => self.get(Run::number_line)?,
            op::BINGET => self.get(Run::number1)?,
            op::LONG_BINGET => self.get(Run::number4)?,

            op::GLOBAL => self.global_lines()?,
            op::STACK_GLOBAL => self.stack_global()?,
            op::REDUCE => self.object(Maker::Call)?,
            op::NEWOBJ => self.object(Maker::New)?,
            op::NEWOBJ_EX => self.object_with_keywords()?,
            op::INST => self.instance_lines()?,
            op::OBJ => self.instance()?,
            op::BUILD => self.build()?,

            op::PERSID => self.persistent_line()?,
            op::BINPERSID => self.persistent()?,
            op::EXT1 => self.outside("<ext>", 1)?,
            op::EXT2 => self.outside("<ext>", 2)?,
            op::EXT4 => self.outside("<ext>", 4)?,
            op::NEXT_BUFFER => self.outside("<buffer>", 0)?,
            op::READONLY_BUFFER => drop(self.top()?),

            op::PROTO => drop(self.reader.byte()?),
            op::FRAME => self.frame()?,
            unknown => return Err(LoadError::UnknownOpcode(unknown)),
        }
        Ok(())
    }
}

/// The stack and the memo.
impl Run<'_, '_> {
    fn push(&mut self, node: Node) {
        let id = self.machine.arena.push(node);
        self.machine.stack.push(id);
    }

    /// Returns the height of the stack at the last open `MARK`. Values below this height belong to
    /// what precedes that `MARK`.
    fn fence(&self) -> usize {
        self.machine.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> LoadResult<NodeId> {
        let above = &self.machine.stack[self.fence()..];
        above.last().copied().ok_or(LoadError::Malformed("it takes a value from an empty stack"))
    }

    fn pop(&mut self) -> LoadResult<NodeId> {
        let top = self.top()?;
        self.machine.stack.pop();
        Ok(top)
    }

    /// Closes the last `MARK` and returns the height at which the values above it start.
    fn pop_mark(&mut self) -> LoadResult<usize> {
        let mark =
            self.machine.marks.pop().ok_or(LoadError::Malformed("it closes a MARK that is not open"))?;
        Ok(mark.min(self.machine.stack.len()))
    }

    fn discard(&mut self) -> LoadResult {
        if self.machine.stack.len() == self.fence() && !self.machine.marks.is_empty() {
            self.machine.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn discard_marked(&mut self) -> LoadResult {
        let height = self.pop_mark()?;
        self.machine.stack.truncate(height);
        Ok(())
    }

    /// Returns the height at which the last `count` values start.
    fn height_below(&self, count: usize) -> LoadResult<usize> {
        let height = self.machine.stack.len().checked_sub(count).filter(|height| *height >= self.fence());
        height.ok_or(LoadError::Malformed("it takes more values than the stack has"))
    }

    fn put(&mut self, number: impl FnOnce(&mut Self) -> LoadResult<u64>) -> LoadResult {
        let number = number(self)?;
        let top = self.top()?;
        self.machine.memo.put(number, top);
        Ok(())
    }

    fn get(&mut self, number: impl FnOnce(&mut Self) -> LoadResult<u64>) -> LoadResult {
        let number = number(self)?;
        let value = self.machine.memo.get(number);
        self.machine
            .stack
            .push(value.ok_or(LoadError::Malformed("it refers to a memo number that is not set"))?);
        Ok(())
    }

    fn number1(&mut self) -> LoadResult<u64> {
        self.reader.byte().map(u64::from)
    }

    fn number4(&mut self) -> LoadResult<u64> {
        Ok(u64::from(u32::from_le_bytes(self.reader.array()?)))
    }

    fn number_line(&mut self) -> LoadResult<u64> {
        let line = std::str::from_utf8(self.reader.line()?).unwrap_or_default();
        line.trim().parse().map_err(|_| LoadError::Malformed("a memo number is not a number"))
    }
}
