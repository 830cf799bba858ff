//! How an option is declared: one [`Setting`] holds its key, shape, default and help, from which
//! everything else is derived.

use super::shape::{Arity, Shape};

/// The declaration of one option whose values are read as `T`.
pub struct Setting<T: 'static> {
    /// Everything that does not depend on `T`.
    pub about: About,
    /// The form of the option's values.
    pub shape: Shape<T>,
}

/// The data of an option that `--help`, the reference and the readers of all sources need.
#[derive(Debug)]
pub struct About {
    /// The section that the option belongs to.
    pub section: Section,
    /// The name of the option, as a key of the configuration file. Flag and variable are derived
    /// from it.
    pub key: &'static str,
    /// The placeholder for a value, such as `SIZE`.
    pub value_name: &'static str,
    /// Which values are accepted.
    pub accepts: &'static str,
    /// Whether the option takes one value or more.
    pub form: Arity,
    /// Returns why one text is not accepted as a value.
    pub check: fn(&str) -> Result<(), String>,
    /// The default, as text. The parts of a list are separated as in a variable.
    pub default: &'static str,
    /// The purpose of the option: one or more sentences.
    pub help: &'static str,
}

/// The sections of the options, in the order in which help and reference list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The program as a whole.
    Program,
    /// Listeners and what they accept.
    Ingest,
    /// The queue on disk.
    Spool,
    /// Which stores are used.
    Store,
    /// Settings of each store. They are the defaults of all stores, and also keys of each
    /// `[[store]]`.
    EachStore,
    /// Settings that only a `[[store]]` has: without a flag or a variable.
    StoreTable,
    /// Reading records back.
    View,
}

impl Section {
    /// All sections in the order of their declaration, with their headings in help and reference.
    pub const ALL: [(Section, &str); 7] = [
        (Section::Program, "Program"),
        (Section::Ingest, "Ingest"),
        (Section::Spool, "Spool"),
        (Section::Store, "Store"),
        (Section::EachStore, "Each store"),
        (Section::StoreTable, "Only in a [[store]] table"),
        (Section::View, "View"),
    ];

    /// Returns the heading in help and reference.
    pub fn heading(self) -> &'static str {
        Section::ALL[self as usize].1
    }
}

impl About {
    /// Returns the flag's name without its dashes: `data-dir`.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Returns the name of the environment variable: `LOGBOOM_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("LOGBOOM_{}", self.key.to_ascii_uppercase())
    }

    /// Returns true if the option is a flag, a variable and a key at the top of the file.
    pub fn is_global(&self) -> bool {
        self.section != Section::StoreTable
    }

    /// Returns true if the option is a key of a `[[store]]` table.
    pub fn is_of_store(&self) -> bool {
        matches!(self.section, Section::EachStore | Section::StoreTable)
    }
}

/// Declares options: a constant for each, whose documentation is its help, and `ALL`, which lists
/// them in order.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident: $value:ty = $section:ident, $key:literal, $shape:path, $default:literal;)+) => {
        $(
            $(#[doc = $help])+
            pub(crate) static $name: Setting<$value> = Setting {
                about: About {
                    section: Section::$section,
                    key: $key,
                    value_name: $shape.name,
                    accepts: $shape.accepts,
                    form: $shape.form,
                    check: |text| ($shape.parse)(text).map(drop),
                    default: $default,
                    help: concat!($($help),+),
                },
                shape: $shape,
            };
        )+
        /// Every option, in the order of declaration.
        pub(crate) static ALL: &[&About] = &[$(&$name.about),+];
    };
}
pub(super) use settings;
