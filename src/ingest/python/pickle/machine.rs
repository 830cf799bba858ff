//! The stack machine: every opcode of protocols 0 to 5, on descriptions instead of objects.

use super::arena::{Arena, Chain, Maker, Node, NodeId, Object, Span, View, for_next_frame};
use super::memo::Memo;
use super::reader::Reader;
use super::{LoadError, opcode as op, text};
use crate::limits::{PICKLE_FLOAT_BYTES_MAX, PICKLE_INTEGER_DIGITS_MAX, PICKLE_OPCODES_MAX};

type Loaded<T = ()> = Result<T, LoadError>;

/// Reads a length in one of the format's sizes.
type Length<'a> = fn(&mut Reader<'a>) -> Loaded<usize>;

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
    /// Runs a pickle up to its `STOP`, and gives the value on top then. What follows is ignored, as Python does.
    pub(crate) fn load(&mut self, frame: &[u8]) -> Loaded<NodeId> {
        self.start(frame.len());
        let mut run = Run { machine: self, reader: Reader::new(frame) };
        for _ in 0..PICKLE_OPCODES_MAX {
            match run.reader.byte()? {
                op::STOP => return run.pop(),
                opcode => run.step(opcode)?,
            }
        }
        Err(LoadError::TooComplex)
    }

    /// The loaded values.
    pub(crate) fn view<'a>(&'a self, frame: &'a [u8]) -> View<'a> {
        View::new(&self.arena, frame)
    }

    fn start(&mut self, frame_length: usize) {
        self.arena.start(frame_length);
        self.stack.clear();
        self.marks.clear();
        for_next_frame(&mut self.stack);
        for_next_frame(&mut self.marks);
        self.memo.clear();
    }
}

/// One pickle being run.
struct Run<'m, 'a> {
    machine: &'m mut Machine,
    reader: Reader<'a>,
}

impl Run<'_, '_> {
    /// Does what one opcode says: the table.
    fn step(&mut self, opcode: u8) -> Loaded {
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
            op::LONG1 => self.long(Reader::length1)?,
            op::LONG4 => self.long(Reader::length4_signed)?,
            op::FLOAT => self.float_line()?,
            op::BINFLOAT => self.float()?,

            op::UNICODE => self.unicode_line()?,
            op::BINUNICODE => self.unicode(Reader::length4)?,
            op::SHORT_BINUNICODE => self.unicode(Reader::length1)?,
            op::BINUNICODE8 => self.unicode(Reader::length8)?,
            op::STRING => self.string_line()?,
            op::BINSTRING => self.string(Reader::length4_signed)?,
            op::SHORT_BINSTRING => self.string(Reader::length1)?,
            op::BINBYTES => self.bytes(Reader::length4)?,
            op::SHORT_BINBYTES => self.bytes(Reader::length1)?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.bytes(Reader::length8)?,

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

            op::PUT => self.put(|run| run.number_line())?,
            op::BINPUT => self.put(|run| Ok(u64::from(run.reader.byte()?)))?,
            op::LONG_BINPUT => self.put(|run| Ok(u64::from(u32::from_le_bytes(run.reader.array()?))))?,
            op::MEMOIZE => self.machine.memo.add(self.top()?),
            op::GET => self.get(|run| run.number_line())?,
            op::BINGET => self.get(|run| Ok(u64::from(run.reader.byte()?)))?,
            op::LONG_BINGET => self.get(|run| Ok(u64::from(u32::from_le_bytes(run.reader.array()?))))?,

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

    /// Below this height the stack belongs to what stands before the last open `MARK`.
    fn fence(&self) -> usize {
        self.machine.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Loaded<NodeId> {
        let above = &self.machine.stack[self.fence()..];
        above.last().copied().ok_or(LoadError::Malformed("it takes a value from an empty stack"))
    }

    fn pop(&mut self) -> Loaded<NodeId> {
        let top = self.top()?;
        self.machine.stack.pop();
        Ok(top)
    }

    /// Closes the last `MARK`; the values above it start at the height given.
    fn pop_mark(&mut self) -> Loaded<usize> {
        let mark =
            self.machine.marks.pop().ok_or(LoadError::Malformed("it closes a MARK that is not open"))?;
        Ok(mark.min(self.machine.stack.len()))
    }

    fn discard(&mut self) -> Loaded {
        if self.machine.stack.len() == self.fence() && !self.machine.marks.is_empty() {
            self.machine.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn discard_marked(&mut self) -> Loaded {
        let height = self.pop_mark()?;
        self.machine.stack.truncate(height);
        Ok(())
    }

    /// The height at which the last `count` values start.
    fn height_below(&self, count: usize) -> Loaded<usize> {
        let height = self.machine.stack.len().checked_sub(count).filter(|height| *height >= self.fence());
        height.ok_or(LoadError::Malformed("it takes more values than the stack has"))
    }

    fn put(&mut self, number: impl FnOnce(&mut Self) -> Loaded<u64>) -> Loaded {
        let number = number(self)?;
        let top = self.top()?;
        self.machine.memo.put(number, top);
        Ok(())
    }

    fn get(&mut self, number: impl FnOnce(&mut Self) -> Loaded<u64>) -> Loaded {
        let number = number(self)?;
        let value = self.machine.memo.get(number);
        self.machine
            .stack
            .push(value.ok_or(LoadError::Malformed("it refers to a memo number that is not set"))?);
        Ok(())
    }

    fn number_line(&mut self) -> Loaded<u64> {
        let line = std::str::from_utf8(self.reader.line()?).unwrap_or_default();
        line.trim().parse().map_err(|_| LoadError::Malformed("a memo number is not a number"))
    }
}

/// Numbers.
impl<'a> Run<'_, 'a> {
    /// `BININT` is signed, the shorter ones are not.
    fn integer(&mut self, length: usize) -> Loaded {
        let value = match *self.reader.take(length)? {
            [one] => i64::from(one),
            [one, two] => i64::from(u16::from_le_bytes([one, two])),
            [one, two, three, four] => i64::from(i32::from_le_bytes([one, two, three, four])),
            _ => return Err(LoadError::Malformed("an integer of an unknown size")),
        };
        self.push(Node::Integer(value));
        Ok(())
    }

    /// `INT`, whose `00` and `01` are booleans.
    fn integer_or_boolean_line(&mut self) -> Loaded {
        match self.reader.clone().line()? {
            b"00" | b"01" => {
                let line = self.reader.line()?;
                self.push(Node::Bool(line == b"01"));
                Ok(())
            }
            _ => self.integer_line(),
        }
    }

    /// Digits; `LONG` has an `L` after them.
    fn integer_line(&mut self) -> Loaded {
        let start = self.reader.position();
        let line = self.reader.line()?;
        let line = line.strip_suffix(b"L").unwrap_or(line);
        let digits = line.strip_prefix(b"-").unwrap_or(line);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(LoadError::Malformed("an integer is not a number"));
        }
        let small = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
        let node = match small {
            Some(value) => Node::Integer(value),
            None if digits.len() > PICKLE_INTEGER_DIGITS_MAX => {
                let text = format!("<int of {} digits>", digits.len());
                Node::Text(self.machine.arena.add(text.as_bytes()))
            }
            None => Node::LongDigits(Arena::span(start..start + line.len())),
        };
        self.push(node);
        Ok(())
    }

    /// `LONG1` and `LONG4`: two's complement, little-endian.
    fn long(&mut self, length: Length<'a>) -> Loaded {
        let length = length(&mut self.reader)?;
        let bytes = self.reader.take(length)?;
        let node = match bytes {
            [] => Node::Integer(0),
            [.., last] if length <= 8 => {
                let mut value = [if *last >= 0x80 { 0xff } else { 0 }; 8];
                value[..length].copy_from_slice(bytes);
                Node::Integer(i64::from_le_bytes(value))
            }
            _ => Node::LongBytes(self.last(length)),
        };
        self.push(node);
        Ok(())
    }

    fn float(&mut self) -> Loaded {
        let value = f64::from_be_bytes(self.reader.array()?);
        self.push(Node::Float(value));
        Ok(())
    }

    fn float_line(&mut self) -> Loaded {
        let line = self.reader.line()?;
        let text = line.get(..PICKLE_FLOAT_BYTES_MAX.min(line.len())).unwrap_or_default();
        let value = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        let value = value.filter(|_| text.len() == line.len());
        self.push(Node::Float(value.ok_or(LoadError::Malformed("a float is not a number"))?));
        Ok(())
    }
}

/// Texts and bytes.
impl<'a> Run<'_, 'a> {
    /// The span of the bytes that the reader has just taken.
    fn last(&self, length: usize) -> Span {
        let end = self.reader.position();
        Arena::span(end - length..end)
    }

    fn unicode(&mut self, length: Length<'a>) -> Loaded {
        let length = length(&mut self.reader)?;
        let bytes = self.reader.take(length)?;
        let span = match std::str::from_utf8(bytes) {
            Ok(_) => self.last(length),
            Err(_) => self.machine.arena.add_converted(|out| text::surrogate_pass(bytes, out)),
        };
        self.push(Node::Text(span));
        Ok(())
    }

    fn unicode_line(&mut self) -> Loaded {
        let start = self.reader.position();
        let line = self.reader.line()?;
        let span = if line.is_ascii() && memchr::memchr(b'\\', line).is_none() {
            Arena::span(start..start + line.len())
        } else {
            self.machine.arena.add_converted(|out| text::raw_unicode_escape(line, out))
        };
        self.push(Node::Text(span));
        Ok(())
    }

    fn string(&mut self, length: Length<'a>) -> Loaded {
        let length = length(&mut self.reader)?;
        let bytes = self.reader.take(length)?;
        let span = self.last(length);
        self.push(python2_text(bytes, span));
        Ok(())
    }

    fn string_line(&mut self) -> Loaded {
        let line = self.reader.line()?;
        let bytes = text::unquote(line).ok_or(LoadError::Malformed("a string is not quoted"))?;
        let span = self.machine.arena.add(&bytes);
        self.push(python2_text(&bytes, span));
        Ok(())
    }

    fn bytes(&mut self, length: Length<'a>) -> Loaded {
        let length = length(&mut self.reader)?;
        self.reader.take(length)?;
        self.push(Node::Bytes(self.last(length)));
        Ok(())
    }

    /// Protocol 4 cuts pickles into frames to read ahead by; all that matters is that it is not cut short.
    fn frame(&mut self) -> Loaded {
        let length = self.reader.length8()?;
        self.reader.clone().take(length).map(drop)
    }
}

/// Python 2's byte strings are what it calls text.
fn python2_text(bytes: &[u8], span: Span) -> Node {
    if std::str::from_utf8(bytes).is_ok() { Node::Text(span) } else { Node::Latin1(span) }
}

/// Containers.
impl Run<'_, '_> {
    /// Takes the values from a height on off the stack, into the end of a chain.
    fn take_from(&mut self, height: usize, chain: Chain) -> Chain {
        let Machine { arena, stack, .. } = &mut *self.machine;
        let chain = arena.extended(chain, &stack[height..]);
        stack.truncate(height);
        chain
    }

    fn tuple(&mut self, count: usize) -> Loaded {
        let height = self.height_below(count)?;
        let chain = self.take_from(height, Chain::EMPTY);
        self.push(Node::Tuple(chain));
        Ok(())
    }

    fn collect(&mut self, container: impl FnOnce(Chain) -> Node) -> Loaded {
        let height = self.pop_mark()?;
        let chain = self.take_from(height, Chain::EMPTY);
        self.push(container(chain));
        Ok(())
    }

    fn collect_dict(&mut self) -> Loaded {
        let height = self.pop_mark()?;
        even(self.machine.stack.len() - height)?;
        let chain = self.take_from(height, Chain::EMPTY);
        self.push(Node::Dict(chain));
        Ok(())
    }

    fn append_marked(&mut self) -> Loaded {
        let height = self.pop_mark()?;
        self.append(self.machine.stack.len() - height)
    }

    /// Adds the last values to the list, set or object below them.
    fn append(&mut self, count: usize) -> Loaded {
        let height = self.height_below(count)?;
        let container = self.container_below(height)?;
        match self.machine.arena.node(container) {
            Node::List(chain) => {
                let chain = self.take_from(height, chain);
                *self.machine.arena.node_mut(container) = Node::List(chain);
            }
            Node::Set(chain) => {
                let chain = self.take_from(height, chain);
                *self.machine.arena.node_mut(container) = Node::Set(chain);
            }
            Node::Object(number) => {
                let chain = self.take_from(height, self.machine.arena.object(number).items);
                self.machine.arena.object_mut(number).items = chain;
            }
            _ => return Err(LoadError::Malformed("it appends to what is no list")),
        }
        Ok(())
    }

    fn set_marked(&mut self) -> Loaded {
        let height = self.pop_mark()?;
        self.set(self.machine.stack.len() - height)
    }

    /// Sets the last values, key by key, in the dict or object below them.
    fn set(&mut self, count: usize) -> Loaded {
        even(count)?;
        let height = self.height_below(count)?;
        let container = self.container_below(height)?;
        match self.machine.arena.node(container) {
            Node::Dict(chain) => {
                let chain = self.take_from(height, chain);
                *self.machine.arena.node_mut(container) = Node::Dict(chain);
            }
            Node::Object(number) => {
                let chain = self.take_from(height, self.machine.arena.object(number).pairs);
                self.machine.arena.object_mut(number).pairs = chain;
            }
            _ => return Err(LoadError::Malformed("it sets an item of what is no dict")),
        }
        Ok(())
    }

    fn container_below(&self, height: usize) -> Loaded<NodeId> {
        let below = &self.machine.stack[self.fence()..height];
        below.last().copied().ok_or(LoadError::Malformed("it adds to an empty stack"))
    }
}

fn even(count: usize) -> Loaded {
    if count.is_multiple_of(2) { Ok(()) } else { Err(LoadError::Malformed("a key has no value")) }
}

/// Names, and objects that are described and never made.
impl Run<'_, '_> {
    fn global(&mut self, module: NodeId, name: NodeId) -> NodeId {
        self.machine.arena.push(Node::Global(module, name))
    }

    fn text_line(&mut self) -> Loaded<NodeId> {
        let start = self.reader.position();
        let line = self.reader.line()?;
        let span = Arena::span(start..start + line.len());
        Ok(self.machine.arena.push(python2_text(line, span)))
    }

    fn global_line_pair(&mut self) -> Loaded<NodeId> {
        let (module, name) = (self.text_line()?, self.text_line()?);
        Ok(self.global(module, name))
    }

    fn global_lines(&mut self) -> Loaded {
        let global = self.global_line_pair()?;
        self.machine.stack.push(global);
        Ok(())
    }

    fn stack_global(&mut self) -> Loaded {
        let (name, module) = (self.pop()?, self.pop()?);
        let global = self.global(module, name);
        self.machine.stack.push(global);
        Ok(())
    }

    fn push_object(&mut self, maker: Maker, class: NodeId, arguments: NodeId, keywords: Option<NodeId>) {
        let (state, items, pairs) = (None, Chain::EMPTY, Chain::EMPTY);
        let object = Object { maker, class, arguments, keywords, state, items, pairs };
        let id = self.machine.arena.push_object(object);
        self.machine.stack.push(id);
    }

    fn object(&mut self, maker: Maker) -> Loaded {
        let (arguments, class) = (self.pop()?, self.pop()?);
        self.push_object(maker, class, arguments, None);
        Ok(())
    }

    fn object_with_keywords(&mut self) -> Loaded {
        let (keywords, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
        self.push_object(Maker::New, class, arguments, Some(keywords));
        Ok(())
    }

    /// `INST`: an object of a Python 2 class named in two lines, with the marked values as arguments.
    fn instance_lines(&mut self) -> Loaded {
        let class = self.global_line_pair()?;
        let height = self.pop_mark()?;
        self.instance_of(class, height)
    }

    /// `OBJ`: the same, with the class as the first of the marked values.
    fn instance(&mut self) -> Loaded {
        let height = self.pop_mark()?;
        if height == self.machine.stack.len() {
            return Err(LoadError::Malformed("an object has no class"));
        }
        let class = self.machine.stack.remove(height);
        self.instance_of(class, height)
    }

    fn instance_of(&mut self, class: NodeId, height: usize) -> Loaded {
        let chain = self.take_from(height, Chain::EMPTY);
        let arguments = self.machine.arena.push(Node::Tuple(chain));
        self.push_object(Maker::Call, class, arguments, None);
        Ok(())
    }

    fn build(&mut self) -> Loaded {
        let state = self.pop()?;
        let Node::Object(number) = self.machine.arena.node(self.top()?) else {
            return Err(LoadError::Malformed("it sets the state of what is no object"));
        };
        self.machine.arena.object_mut(number).state = Some(state);
        Ok(())
    }

    fn persistent_line(&mut self) -> Loaded {
        let identity = self.text_line()?;
        self.placeholder("<persid>", &[identity]);
        Ok(())
    }

    fn persistent(&mut self) -> Loaded {
        let identity = self.pop()?;
        self.placeholder("<persid>", &[identity]);
        Ok(())
    }

    /// What stands outside of the pickle, by a number of `length` bytes in a registry that only the sender has.
    fn outside(&mut self, class: &str, length: usize) -> Loaded {
        let bytes = self.reader.take(length)?;
        let code = bytes.iter().rev().fold(0, |code, byte| code << 8 | i64::from(*byte));
        let code = self.machine.arena.push(Node::Integer(code));
        self.placeholder(class, if length == 0 { &[] } else { std::slice::from_ref(&code) });
        Ok(())
    }

    fn placeholder(&mut self, class: &str, arguments: &[NodeId]) {
        let arena = &mut self.machine.arena;
        let (module, name) = (arena.add(b""), arena.add(class.as_bytes()));
        let (module, name) = (arena.push(Node::Text(module)), arena.push(Node::Text(name)));
        let class = arena.push(Node::Global(module, name));
        let chain = arena.extended(Chain::EMPTY, arguments);
        let arguments = arena.push(Node::Tuple(chain));
        self.push_object(Maker::Call, class, arguments, None);
    }
}
