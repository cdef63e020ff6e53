use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use onyx_protocol::index::{Content, GenerationHeader, GenerationId, Metric, Quantization};
use onyx_protocol::model::{ModelSpec, Pooling};
use onyx_protocol::startup::RecoveryEnd;
use onyx_protocol::{ErrorKind, WireError};

use super::*;

const MODEL: ModelKey = ModelKey([0xaa; 16]);

const MARKS: Marks = Marks { highest: 0x0102, writes: 0x0304 };

fn spec() -> ModelSpec {
    ModelSpec {
        name: "mini".into(),
        model_path: "/m.onnx".into(),
        tokenizer_path: "/t.json".into(),
        dimensions: 2,
        pooling: Pooling::Cls,
        normalize: true,
        max_tokens: 256,
    }
}

fn record(n: u8, texts: bool) -> GenerationRecord {
    GenerationRecord {
        header: GenerationHeader {
            id: GenerationId([n; 16]),
            system_identifier: 0x0102_0304_0506_0708,
            database: 5,
            relation: 16_400,
            relfilenumber: 16_401,
            created_by: 748,
            dimensions: 2,
            metric: Metric::Cosine,
            content: if texts { Content::Texts(spec()) } else { Content::Vectors },
            m: 16,
            ef_construction: 64,
            quantization: Quantization::Sq8,
        },
        model: texts.then_some(MODEL),
        state: if texts { DurableState::Ready } else { DurableState::Stale("why".into()) },
        vacuum_lsn: 300,
        recovery: Some(RecoveryEnd { life: 2, lsn: 0x1000 }),
    }
}

/// One of everything.
fn fill(store: &Store) {
    let (text, vector) =
        (ItemContent::Text(TextHash::of("a")), ItemContent::Vector(vec![1.0, -2.5]));
    store.put_model(MODEL, &spec()).unwrap();
    store.put_generation(&record(1, false)).unwrap();
    store.put_generation(&record(2, true)).unwrap();
    let new = |n, items, pending| NewItems {
        generation: GenerationId([n; 16]),
        stamp: 0x0102,
        marks: MARKS,
        items,
        pending,
        logged: true,
    };
    store.insert_items(&new(1, vec![(0x0003_0007, &vector)], vec![])).unwrap();
    let pending = vec![(MODEL, TextHash::of("a"), "a"), (MODEL, TextHash::of("b"), "b")];
    store.insert_items(&new(2, vec![(0x0003_0008, &text)], pending)).unwrap();
    store.put_embeddings(MODEL, &[(TextHash::of("c"), &[0.5, 1.0])]).unwrap();
    store.put_failure(MODEL, TextHash::of("b"), "odd").unwrap();
    store.put_graph_part(GenerationId([1; 16]), 0x0a, 1024, vec![0]).unwrap();
    store.put_graph_header(GenerationId([1; 16]), 0x0a, vec![0xcc]).unwrap();
}

/// Everything in the store, as the format describes it.
fn dump(store: &Store) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut lines = Vec::new();
    for family in Family::ALL {
        for pair in store.db.scan(family, &[], None).unwrap() {
            let (key, value) = pair.unwrap();
            lines.push(format!("{} {} {}", family.name(), hex(&key), hex(&value)));
        }
    }
    lines
}

/// SHA-256 of "a", "b" and "c".
const A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
const B: &str = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
const C: &str = "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6";

#[test]
fn the_format_is_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    fill(&store);
    let (model, one, two) = ("aa".repeat(16), "01".repeat(16), "02".repeat(16));
    let spec = "046d696e69072f6d2e6f6e6e78072f742e6a736f6e020101fb0001";
    let why = "03776879";
    let place = "fd080706050403020105fb1040fb1140fbec0202";
    assert_eq!(
        dump(&store),
        [
            "meta 666f726d6174 00000003".to_string(),
            format!("models {model} {spec}"),
            format!("embeddings {model}{C} 0000003f0000803f"),
            format!("failures {model}{B} 6f6464"),
            format!("pending {model}{A} 61"),
            format!("generations {one}00 {one}{place}02001040020002{why}fb2c010102fb0010"),
            format!("generations {one}01 00000000000001020000000000000304"),
            format!("generations {two}00 {two}{place}0201{spec}10400201{model}01fb2c010102fb0010"),
            format!("generations {two}01 00000000000001020000000000000304"),
            format!("items {one}0000000000030007 00000000000001020000803f000020c0"),
            format!("items {two}0000000000030008 0000000000000102{A}"),
            format!("graphs {one}00 cc"),
            format!("graphs {one}01000000000000000a00000400 00"),
        ]
    );
}

#[test]
fn what_was_written_is_read_again_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    fill(&Store::open(directory.path()).unwrap());
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.models().unwrap(), [(MODEL, spec())]);
    assert_eq!(store.generations().unwrap(), [(record(1, false), MARKS), (record(2, true), MARKS)]);
    let items =
        |n, texts| store.items(&record(n, texts)).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let content = ItemContent::Vector(vec![1.0, -2.5]);
    assert_eq!(items(1, false), [Item { tid: 0x0003_0007, stamp: 0x0102, content }]);
    let content = ItemContent::Text(TextHash::of("a"));
    assert_eq!(items(2, true), [Item { tid: 0x0003_0008, stamp: 0x0102, content }]);
    let hashes = ["a", "b", "c"].map(TextHash::of);
    assert_eq!(store.get_many(MODEL, &hashes).unwrap(), [None, None, Some(vec![0.5, 1.0])]);
    assert_eq!(store.failures(MODEL, &hashes).unwrap(), [false, true, false]);
    assert_eq!(store.pending_texts(MODEL, &hashes).unwrap(), [Some("a".to_string()), None, None]);
    assert!(store.get_many(ModelKey([0; 16]), &hashes).unwrap().iter().all(Option::is_none));
    assert_eq!(store.embedding_count(), 1);
    assert!(store.store_bytes() > 0);
}

#[test]
fn a_dropped_generation_leaves_nothing_and_its_neighbours_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let content = ItemContent::Vector(vec![1.0, 2.0]);
    for n in [0, 1, 2, 255] {
        store.put_generation(&record(n, false)).unwrap();
        let items = (0..1000u64).map(|at| (at << 40, &content)).collect();
        let generation = GenerationId([n; 16]);
        let new =
            NewItems { generation, stamp: 9, marks: MARKS, items, pending: vec![], logged: true };
        store.insert_items(&new).unwrap();
    }
    for n in [1, 255] {
        store.drop_generation(GenerationId([n; 16])).unwrap();
        store.reclaim_generation(GenerationId([n; 16])).unwrap();
    }
    let count = |n| store.items(&record(n, false)).unwrap().count();
    assert_eq!([0, 1, 2, 255].map(count), [1000, 0, 1000, 0]);
    assert_eq!(store.generations().unwrap().len(), 2);
}

#[test]
fn reclaiming_removed_entries_spares_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.put_generation(&record(1, false)).unwrap();
    let content = ItemContent::Vector(vec![1.0; 200]);
    let items = (0..3000u64).map(|at| (at << 16, &content)).collect();
    let (generation, pending) = (GenerationId([1; 16]), vec![]);
    let new = NewItems { generation, stamp: 9, marks: MARKS, items, pending, logged: false };
    store.insert_items(&new).unwrap();
    store.flush_items().unwrap();
    let gone: Vec<_> = (0..3000u64).filter(|at| at % 3 > 0).map(|at| at << 16).collect();
    store.delete_items(&record(1, false), &gone, None).unwrap();
    store.reclaim_items(generation).unwrap();
    assert_eq!(store.items(&record(1, false)).unwrap().count(), 1000);
}

#[test]
fn discarded_entries_lower_the_highest_stamp() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    fill(&store);
    let marks = Marks { highest: 0x0101, ..MARKS };
    store.delete_items(&record(1, false), &[0x0003_0007, 99], Some(marks)).unwrap();
    assert_eq!(store.generations().unwrap()[0], (record(1, false), marks));
    assert_eq!(store.items(&record(1, false)).unwrap().count(), 0);
}

#[test]
fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path()).unwrap();
    let error = Store::open(directory.path()).err().unwrap();
    assert_eq!(error, StoreError::in_use(directory.path()));
}

#[test]
fn a_later_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path()).unwrap();
        let mut batch = Batch::default();
        batch.put(Family::Meta, FORMAT_KEY, 4u32.to_be_bytes());
        store.write(batch).unwrap();
    }
    let error = WireError::from(Store::open(directory.path()).err().unwrap());
    assert_eq!(error.kind, ErrorKind::VersionMismatch);
    assert_eq!(error.message, "the store has format 4, this engine reads up to 3");
}

#[test]
fn an_older_format_is_taken_over() {
    let bytes = |hex: &str| -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(pair).collect()
    };
    for format in [1u32, 2] {
        let directory = tempfile::tempdir().unwrap();
        {
            let store = Store::open(directory.path()).unwrap();
            fill(&store);
            let mut batch = Batch::default();
            // As format 2 wrote them: a header without quantization, a stamp without writes.
            let one = "01".repeat(16);
            let old = format!(
                "{one}fd080706050403020105fb1040fb1140fbec020202001040000203776879fb2c010102fb0010"
            );
            batch.put(Family::Generations, bytes(&format!("{one}00")), bytes(&old));
            batch.put(Family::Generations, bytes(&format!("{one}01")), bytes("0000000000000102"));
            let two = keys::record_key(GenerationId([2; 16]));
            batch.delete(Family::Generations, two);
            batch.delete(Family::Generations, keys::marks_key(GenerationId([2; 16])));
            batch.put(Family::Meta, FORMAT_KEY, format.to_be_bytes());
            store.write(batch).unwrap();
        }
        let store = Store::open(directory.path()).unwrap();
        let mut expected = record(1, false);
        expected.header.quantization = Quantization::Auto;
        let marks = Marks { highest: 0x0102, writes: 0 };
        assert_eq!(store.generations().unwrap(), [(expected, marks)], "format {format}");
        assert_eq!(store.embedding_count(), 1);
        assert!(dump(&store)[0].ends_with("00000003"), "the new version is written");
    }
}

#[test]
fn a_graph_replaces_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let id = GenerationId([7; 16]);
    let parts = |moment| {
        let mut parts = Vec::new();
        store.graph_parts(id, moment, |first, part| parts.push((first, part.to_vec()))).unwrap();
        parts
    };
    assert_eq!(store.graph_header(id).unwrap(), None);
    for moment in [1, 2] {
        for first in [0, 1024] {
            store.put_graph_part(id, moment, first, vec![moment as u8]).unwrap();
        }
        assert_eq!(parts(moment).len(), 2);
        store.put_graph_header(id, moment, vec![moment as u8]).unwrap();
    }
    assert_eq!(store.graph_header(id).unwrap(), Some(vec![2]));
    assert_eq!((parts(1), parts(2)), (vec![], vec![(0, vec![2]), (1024, vec![2])]));
    store.drop_generation(id).unwrap();
    assert_eq!((store.graph_header(id).unwrap(), parts(2)), (None, vec![]));
}

/// Damages each of a store's files in turn: an error, or everything is still there.
#[test]
fn damage_is_noticed() {
    let mut noticed = 0;
    for part in ["CURRENT", "MANIFEST", "sst"] {
        let directory = tempfile::tempdir().unwrap();
        {
            let store = Store::open(directory.path()).unwrap();
            fill(&store);
            // A checkpoint flushes: after it the entries are in files.
            store.checkpoint(&directory.path().join("copy")).unwrap();
        }
        let copy = directory.path().join("copy");
        for file in fs::read_dir(&copy).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().contains(part) {
                let mut bytes = fs::read(&path).unwrap();
                bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
                noticed += 1;
            }
        }
        let read = || -> Result<usize, StoreError> {
            let store = Store::open(&copy)?;
            Ok(store.generations()?.len() + store.items(&record(1, false))?.count())
        };
        assert!(matches!(read(), Err(StoreError::Corrupt { .. })), "{part}: {:?}", read());
    }
    assert!(noticed >= 3);
}

#[test]
fn a_lost_or_foreign_directory_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    fill(&Store::open(directory.path()).unwrap());
    fs::remove_file(directory.path().join("CURRENT")).unwrap();
    let files = || fs::read_dir(directory.path()).unwrap().count();
    let before = files();
    assert!(matches!(Store::open(directory.path()), Err(StoreError::Corrupt { .. })));
    assert_eq!(files(), before);
    let foreign = tempfile::tempdir().unwrap();
    let file = foreign.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(Store::open(foreign.path()), Err(StoreError::Corrupt { .. })));
    assert!(matches!(Store::open(&file), Err(StoreError::Io { .. })));
    assert!(matches!(Store::open(&file.join("below")), Err(StoreError::Io { .. })));
}

#[test]
fn an_interrupted_creation_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["LOG", "LOCK", "IDENTITY", "MANIFEST-000001", "000001.dbtmp"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    fill(&Store::open(directory.path()).unwrap());
    assert_eq!(Store::open(directory.path()).unwrap().generations().unwrap().len(), 2);
}

#[test]
fn a_checkpoint_is_a_store_of_that_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    fill(&store);
    let copy = directory.path().join("copy");
    let before = dump(&store);
    store.checkpoint(&copy).unwrap();
    store.drop_generation(GenerationId([1; 16])).unwrap();
    assert_eq!(dump(&Store::open(&copy).unwrap()), before);
    assert!(matches!(store.checkpoint(&copy), Err(StoreError::Io { .. })));
    assert!(matches!(store.checkpoint(&copy.join("no/such")), Err(StoreError::Io { .. })));
}

const CHILD: &str = "ONYX_TEST_STORE_CHILD";

/// Not a test of its own: what the process does that the next test kills.
#[test]
fn a_process_that_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    fill(&store);
    println!("\nwritten");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn acknowledged_writes_survive_sigkill() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::a_process_that_is_killed", "--nocapture"])
        .env(CHILD, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "written"));
    child.kill().unwrap();
    child.wait().unwrap();
    let other = tempfile::tempdir().unwrap();
    let expected = Store::open(other.path()).unwrap();
    fill(&expected);
    assert_eq!(dump(&Store::open(directory.path()).unwrap()), dump(&expected));
}
