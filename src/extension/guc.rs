//! The `onyx.*` settings.

use std::ffi::CString;

use onyx_protocol::startup::Settings;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

/// What happens when the engine cannot take part in a command that could go on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum OnEngineFailure {
    /// Go on; queries answer by exact scans and indexes are rebuilt later.
    #[name = c"degrade"]
    Degrade,
    /// Raise an error.
    #[name = c"error"]
    Error,
}

/// Whether a commit waits for the embeddings of the texts it inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum EmbedAtCommit {
    /// Texts are durable at commit and embedded in the background.
    #[name = c"deferred"]
    Deferred,
    /// The commit waits until they are embedded.
    #[name = c"wait"]
    Wait,
}

/// What an index scan does when its first candidates are not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum IterativeScan {
    /// It ends.
    #[name = c"off"]
    Off,
    /// It goes on; what turns up later comes in a later place than its distance asks for.
    #[name = c"relaxed_order"]
    RelaxedOrder,
    /// It goes on; what turns up too late for its place is left out.
    #[name = c"strict_order"]
    StrictOrder,
}

pub static ENGINE_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
pub static ONNXRUNTIME_PATH: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c""));
pub static STORE_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
pub static LOG_LEVEL: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"info"));
pub static MODEL: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"all-MiniLM-L6-v2"));
pub static EMBED_THREADS: GucSetting<i32> = GucSetting::<i32>::new(0);
pub static ENGINE_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(0);
pub static MEMORY_LIMIT_MB: GucSetting<i32> = GucSetting::<i32>::new(4096);
pub static MAX_FILE_SIZE_KB: GucSetting<i32> = GucSetting::<i32>::new(4096);
pub static EF_SEARCH: GucSetting<i32> = GucSetting::<i32>::new(40);
pub static ITERATIVE_SCAN: GucSetting<IterativeScan> =
    GucSetting::<IterativeScan>::new(IterativeScan::StrictOrder);
pub static MAX_SCAN_TUPLES: GucSetting<i32> = GucSetting::<i32>::new(-1);
pub static SCAN_MEM_MULTIPLIER: GucSetting<f64> = GucSetting::<f64>::new(1.0);
pub static GRAPH_CACHE_SIZE_MB: GucSetting<i32> = GucSetting::<i32>::new(128);
pub static MAINTENANCE_NAPTIME_S: GucSetting<i32> = GucSetting::<i32>::new(60);
pub static DEBUG_STOP_AT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ON_ENGINE_FAILURE: GucSetting<OnEngineFailure> =
    GucSetting::<OnEngineFailure>::new(OnEngineFailure::Degrade);
pub static EMBED_AT_COMMIT: GucSetting<EmbedAtCommit> =
    GucSetting::<EmbedAtCommit>::new(EmbedAtCommit::Deferred);

/// Registers every setting.
pub fn define() {
    let path = |name, short, long, setting| {
        GucRegistry::define_string_guc(
            name,
            short,
            long,
            setting,
            GucContext::Sighup,
            GucFlags::SUPERUSER_ONLY,
        );
    };
    path(
        c"onyx.engine_path",
        c"Path of the onyx-engine program.",
        c"Empty means onyx/onyx-engine in the server's package library directory. Takes effect at the engine's next start.",
        &ENGINE_PATH,
    );
    path(
        c"onyx.onnxruntime_path",
        c"Path of the ONNX Runtime library.",
        c"Empty means onyx/libonnxruntime.so in the server's package library directory. Takes effect at the engine's next start.",
        &ONNXRUNTIME_PATH,
    );
    path(
        c"onyx.store_path",
        c"Directory of the engine's store.",
        c"Empty means pgsql_tmp_onyx/store in the data directory, which base backups skip. Takes effect at the engine's next start.",
        &STORE_PATH,
    );
    GucRegistry::define_string_guc(
        c"onyx.engine_log_level",
        c"How much the engine writes to the server log: error, warn, info or debug.",
        c"",
        &LOG_LEVEL,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"onyx.model",
        c"Name in onyx.models of the model that embeds texts.",
        c"An index on texts serves only queries under the model it was built with.",
        &MODEL,
        GucContext::Userset,
        GucFlags::default(),
    );
    let int = |name, short, long, setting, min, max, context, flags| {
        GucRegistry::define_int_guc(name, short, long, setting, min, max, context, flags);
    };
    int(
        c"onyx.embed_threads",
        c"Threads the embedding model runs on; 0 means one for each core.",
        c"",
        &EMBED_THREADS,
        0,
        256,
        GucContext::Sighup,
        GucFlags::default(),
    );
    int(
        c"onyx.engine_workers",
        c"Threads the engine parses files and builds indexes on; 0 means one for each core.",
        c"Takes effect at the engine's next start.",
        &ENGINE_WORKERS,
        0,
        256,
        GucContext::Sighup,
        GucFlags::default(),
    );
    int(
        c"onyx.memory_limit",
        c"Memory the engine may use for index graphs and vectors.",
        c"",
        &MEMORY_LIMIT_MB,
        64,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MB,
    );
    int(
        c"onyx.max_file_size",
        c"Largest source file that is ingested; larger ones are skipped and accounted for.",
        c"",
        &MAX_FILE_SIZE_KB,
        1,
        (onyx_protocol::limits::MAX_FILE_BYTES >> 10) as i32,
        GucContext::Sighup,
        GucFlags::UNIT_KB,
    );
    int(
        c"onyx.ef_search",
        c"Candidates an index search looks at; more is slower and finds more.",
        c"",
        &EF_SEARCH,
        1,
        1000,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"onyx.iterative_scan",
        c"Whether an index scan goes on until a query has enough rows, and in which order.",
        c"strict_order: by distance; a row that turns up too late for its place is left out. relaxed_order: no such row is left out. off: a scan ends after onyx.ef_search rows.",
        &ITERATIVE_SCAN,
        GucContext::Userset,
        GucFlags::default(),
    );
    int(
        c"onyx.max_scan_tuples",
        c"Rows after which an iterative index scan ends; -1 means never.",
        c"The first onyx.ef_search rows are given in any case, and an answer without the engine is always whole.",
        &MAX_SCAN_TUPLES,
        -1,
        i32::MAX,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_float_guc(
        c"onyx.scan_mem_multiplier",
        c"Multiple of work_mem an index scan may keep rows in.",
        c"A scan that needs more goes on exactly, in as many passes over the table as it takes.",
        &SCAN_MEM_MULTIPLIER,
        1.0,
        1000.0,
        GucContext::Userset,
        GucFlags::default(),
    );
    int(
        c"onyx.graph_cache_size",
        c"Memory a session may use to keep the graph that traversals read; 0 keeps nothing.",
        c"The graph is kept only while its tables have no changes since they were vacuumed.",
        &GRAPH_CACHE_SIZE_MB,
        0,
        1 << 20,
        GucContext::Userset,
        GucFlags::UNIT_MB,
    );
    int(
        c"onyx.maintenance_naptime",
        c"Time between looks for indexes to rebuild and generations to delete.",
        c"",
        &MAINTENANCE_NAPTIME_S,
        1,
        86_400,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_enum_guc(
        c"onyx.on_engine_failure",
        c"What a command does when the engine cannot serve its index.",
        c"degrade: writes go on, the index is marked stale and rebuilt later. error: the command fails.",
        &ON_ENGINE_FAILURE,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"onyx.embed_at_commit",
        c"Whether a commit waits for the embeddings of the texts it inserted.",
        c"",
        &EMBED_AT_COMMIT,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"onyx.debug_stop_at",
        c"Step at which a process of the server or the engine stops, for tests of crashes.",
        c"A process that has stopped goes on when it gets SIGCONT. STEP:N means the N-th time it comes there.",
        &DEBUG_STOP_AT,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY | GucFlags::NO_SHOW_ALL,
    );
}

/// A string setting, or `None` when it is empty.
pub fn non_empty(setting: &'static GucSetting<Option<CString>>) -> Option<String> {
    setting.get().and_then(|s| s.into_string().ok()).filter(|s| !s.is_empty())
}

/// The settings the engine obeys.
pub fn engine_settings() -> Settings {
    Settings {
        embed_threads: EMBED_THREADS.get() as u32,
        workers: ENGINE_WORKERS.get() as u32,
        memory_limit: (MEMORY_LIMIT_MB.get() as u64) << 20,
        max_file_size: (MAX_FILE_SIZE_KB.get() as u64) << 10,
        log_level: non_empty(&LOG_LEVEL).unwrap_or_else(|| "info".into()),
        stop_at: non_empty(&DEBUG_STOP_AT).unwrap_or_default(),
    }
}
