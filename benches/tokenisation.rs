//! Rows to token ids with a mask, in bytes of text a second.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sft::dataset::{Dataset, PromptTemplate, PromptTokenizer, Record, encode};
use sft_fixtures::{EOS, csv, rows, write_tokenizer};

fn tokenisation(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    write_tokenizer(dir.path()).unwrap();
    let path = dir.path().join("rows.csv");
    std::fs::write(&path, csv(&rows())).unwrap();
    let records: Vec<Record> = Dataset::read_csv(&path).unwrap().factual().cloned().collect();
    let records: Vec<Record> = std::iter::repeat_n(records, 20).flatten().collect();
    let bytes =
        records.iter().map(|r| r.clinical_note.len() + r.model_summary.len()).sum::<usize>();
    let tokenizer = PromptTokenizer::from_file(
        &dir.path().join("tokenizer.json"),
        PromptTemplate::default(),
        EOS,
    )
    .unwrap();

    let mut group = criterion.benchmark_group("tokenisation");
    group.sample_size(20).throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("rows", |bencher| {
        bencher.iter(|| encode(&path, &records, &tokenizer, 512).unwrap());
    });
    group.bench_function("rows_truncated", |bencher| {
        bencher.iter(|| encode(&path, &records, &tokenizer, 96).unwrap());
    });
    group.finish();
}

criterion_group!(benches, tokenisation);
criterion_main!(benches);
