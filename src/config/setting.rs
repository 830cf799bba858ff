//! How an option is declared: one [`Setting`] says its key, shape, default and help, and all else follows from it.

use super::shape::{Form, Shape};

/// The declaration of one option whose values are read as `T`.
pub struct Setting<T: 'static> {
    /// All that does not depend on `T`.
    pub about: About,
    /// How its values are written.
    pub shape: Shape<T>,
}

/// What `--help`, the reference and the readers of all sources need to know of an option.
#[derive(Debug)]
pub struct About {
    /// What it belongs to.
    pub section: Section,
    /// Its name, as a key of the configuration file. Flag and variable follow from it.
    pub key: &'static str,
    /// What stands for a value.
    pub value_name: &'static str,
    /// What a value may be.
    pub accepts: &'static str,
    /// Whether it takes one value or more.
    pub form: Form,
    /// Its default, as text; the parts of a list are separated as in a variable.
    pub default: &'static str,
    /// What it is for: one or more sentences.
    pub help: &'static str,
}

/// What an option belongs to, in the order in which help and reference list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The program as a whole.
    Program,
    /// Listeners and what they accept.
    Ingest,
    /// The queue on disk.
    Spool,
    /// Which stores there are.
    Store,
    /// What each store does: the default of all, and a key of each `[[store]]` too.
    EachStore,
    /// What only a `[[store]]` has: neither flag nor variable.
    StoreTable,
    /// Reading back.
    View,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Section; 7] = [
        Section::Program,
        Section::Ingest,
        Section::Spool,
        Section::Store,
        Section::EachStore,
        Section::StoreTable,
        Section::View,
    ];

    /// The heading in help and reference.
    pub fn heading(self) -> &'static str {
        match self {
            Section::Program => "Program",
            Section::Ingest => "Ingest",
            Section::Spool => "Spool",
            Section::Store => "Store",
            Section::EachStore => "Each store",
            Section::StoreTable => "Only in a [[store]] table",
            Section::View => "View",
        }
    }
}

impl About {
    /// The flag's name without its dashes: `data-dir`.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The environment variable: `LOGBOOM_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("LOGBOOM_{}", self.key.to_ascii_uppercase())
    }

    /// Whether it is a flag, a variable and a key at the top of the file.
    pub fn is_global(&self) -> bool {
        self.section != Section::StoreTable
    }

    /// Whether it is a key of a `[[store]]` table.
    pub fn is_of_store(&self) -> bool {
        matches!(self.section, Section::EachStore | Section::StoreTable)
    }
}

/// Declares options: a constant for each, whose documentation is its help, and `ALL` of them in order.
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
