//! The one way an error of Onyx becomes a PostgreSQL error.

use onyx_protocol::{ErrorKind, WireError};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, spi};

/// Everything that can go wrong in the extension.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library was loaded without `shared_preload_libraries`.
    #[error("onyx must be loaded through \"shared_preload_libraries\"")]
    NotPreloaded,
    /// The engine says no.
    #[error("{0}")]
    Engine(#[from] WireError),
    /// Nobody listens on the socket.
    #[error("the Onyx engine is not running")]
    EngineDown {
        /// What the supervisor knows, or how connecting failed.
        detail: String,
    },
    /// The connection broke while a request was under way.
    #[error("the connection to the Onyx engine was lost")]
    ConnectionLost {
        /// How.
        detail: String,
    },
    /// The engine answered something that does not belong here.
    #[error("the Onyx engine sent an unexpected answer")]
    Protocol {
        /// What was wrong with it.
        detail: String,
    },
    /// An error that is best described where it is raised.
    #[error("{message}")]
    Sql {
        /// SQLSTATE.
        code: PgSqlErrorCode,
        /// Primary message.
        message: String,
        /// Detail, or empty.
        detail: String,
        /// Hint, or empty.
        hint: String,
    },
    /// A query of the extension's own failed.
    #[error("{0}")]
    Spi(#[from] spi::Error),
}

impl Error {
    /// An error with an SQLSTATE of its own.
    pub fn sql(code: PgSqlErrorCode, message: impl Into<String>) -> Self {
        Self::Sql { code, message: message.into(), detail: String::new(), hint: String::new() }
    }

    /// The same with a hint; on other errors it does nothing.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Sql { hint, .. } = &mut self {
            *hint = text.into();
        }
        self
    }

    /// Whether the engine's absence or failure is the reason, so that a command which can go on
    /// without it may.
    pub fn is_engine_failure(&self) -> bool {
        match self {
            Self::EngineDown { .. } | Self::ConnectionLost { .. } | Self::Protocol { .. } => true,
            Self::Engine(e) => !matches!(e.kind, ErrorKind::Canceled),
            Self::NotPreloaded | Self::Sql { .. } | Self::Spi(_) => false,
        }
    }

    fn parts(self) -> (PgSqlErrorCode, String, String, String) {
        let message = self.to_string();
        match self {
            Self::NotPreloaded => (
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                message,
                String::new(),
                "Add onyx to \"shared_preload_libraries\" in postgresql.conf and restart the server."
                    .into(),
            ),
            Self::Engine(e) => (sqlstate(e.kind), e.message, e.detail, e.hint),
            Self::EngineDown { detail } => (
                PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
                message,
                detail,
                "Its supervisor starts it again; see onyx.stat_engine and the server log.".into(),
            ),
            Self::ConnectionLost { detail } => (
                PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
                message,
                detail,
                "Nothing committed was lost. Its supervisor starts it again: retry the command.".into(),
            ),
            Self::Protocol { detail } => (
                PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
                message,
                detail,
                "Install the extension and the engine of the same version and restart the server."
                    .into(),
            ),
            Self::Sql { code, message, detail, hint } => (code, message, detail, hint),
            Self::Spi(_) => {
                (PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message, String::new(), String::new())
            }
        }
    }

    fn report(self, level: PgLogLevel) {
        let (code, message, detail, hint) = self.parts();
        let mut report = ErrorReport::new(code, message, "onyx");
        if !detail.is_empty() {
            report = report.set_detail(detail);
        }
        if !hint.is_empty() {
            report = report.set_hint(hint);
        }
        report.report(level);
    }

    /// Raises it as an ERROR.
    pub fn raise(self) -> ! {
        self.report(PgLogLevel::ERROR);
        unreachable!("reporting at ERROR does not return")
    }

    /// Says it as a WARNING and goes on.
    pub fn warn(self) {
        self.report(PgLogLevel::WARNING);
    }

    /// Says it as a NOTICE and goes on.
    pub fn notice(self) {
        self.report(PgLogLevel::NOTICE);
    }
}

fn sqlstate(kind: ErrorKind) -> PgSqlErrorCode {
    match kind {
        ErrorKind::Canceled | ErrorKind::DeadlineExceeded => PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
        ErrorKind::InvalidRequest => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        ErrorKind::NotFound => PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
        ErrorKind::PermissionDenied => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        ErrorKind::WrongObject => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
        ErrorKind::GenerationUnusable => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        ErrorKind::Model => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        ErrorKind::StoreIo => PgSqlErrorCode::ERRCODE_IO_ERROR,
        ErrorKind::StoreCorrupt => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        ErrorKind::ResourceExhausted => PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES,
        ErrorKind::VersionMismatch => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        ErrorKind::Internal => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
    }
}

/// Unwraps a result at the edge of an SQL function or callback.
pub trait OrRaise<T> {
    /// The value, or the error as a PostgreSQL ERROR.
    fn or_raise(self) -> T;
}

impl<T, E: Into<Error>> OrRaise<T> for Result<T, E> {
    fn or_raise(self) -> T {
        self.unwrap_or_else(|e| e.into().raise())
    }
}
