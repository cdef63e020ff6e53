//! Vectors in memory, one row a point, and the ranks a graph orders them by.
//!
//! ```text
//! row, whole    number f32 | spare f32 | numbers f32 * d
//! row, split    number f32 | scale f32 | codes i8 * d
//! rest, split   low u16 * d | middle u8 * d
//! ```
//!
//! `number` is the squared length, under the cosine one over the length; a split row's is of what its codes say.
//! A split row keeps each number as a fixed-point integer of 32 bits, in units of `scale` / 2^24, where `scale` is 1/127 of
//! the row's largest number. Its highest byte, rounded, is the code the graph works with: a quarter
//! of the memory to read. Code and rest together give the number back: bit by bit when it is above
//! 1/256 of the row's largest, and else to within 2^-32 of that. The rest may be left to the store.

use onyx_protocol::index::Metric;

use super::arena::{Arena, CHUNK_ROWS, Fresh, Taken};
use super::distance::length;
use super::kernels::{self, Sum};

/// Bytes before a row's numbers.
const HEAD: usize = 8;

/// Largest code.
const CODE: f32 = 127.0;

/// Bits of a fixed-point number below its code.
const REST_BITS: u32 = 24;

/// Up to so many dimensions rows are whole: the links are the larger part of the memory then, and
/// eight bits tell too few places apart.
const WHOLE_DIMENSIONS: usize = 32;

/// Vectors of a sample whose distance to the nearest others is looked at.
const SAMPLE_ASKED: usize = 128;

/// How rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As the numbers themselves.
    Whole,
    /// As codes and a rest.
    Split,
}

impl Layout {
    /// The layout for vectors like these. Codes need vectors that are spread around zero, and not in heaps: their
    /// error goes with the largest number, and must be small against the vectors' distance from their middle, and
    /// from the nearest others.
    pub fn fit<'a>(dimensions: usize, sample: impl Iterator<Item = &'a [f32]> + Clone) -> Self {
        let rows = sample.clone().count() as f64;
        if dimensions <= WHOLE_DIMENSIONS || rows < 1.0 {
            return Self::Whole;
        }
        let mut middle = vec![0.0f64; dimensions];
        for row in sample.clone() {
            middle.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) / rows);
        }
        let (mut spread, mut error) = (0.0, 0.0);
        for row in sample.clone() {
            let places = row.iter().zip(&middle);
            spread += places.map(|(x, m)| (f64::from(*x) - m).powi(2)).sum::<f64>();
            let step = f64::from(largest(row)) / f64::from(CODE);
            error += step * step / 12.0 * dimensions as f64;
        }
        // One vector has no spread: without others it is taken for one of many.
        if rows >= 2.0 && (error > spread / 200.0 || in_heaps(sample)) {
            Self::Whole
        } else {
            Self::Split
        }
    }
}

/// Whether more than one in twenty is so near to another that codes hardly tell them apart. Vectors that are
/// equal are one point.
fn in_heaps<'a>(sample: impl Iterator<Item = &'a [f32]> + Clone) -> bool {
    let count = sample.clone().count();
    let asked = sample.clone().step_by(count.div_ceil(SAMPLE_ASKED));
    let blurred = asked.clone().filter(|row| {
        let distances = sample.clone().map(|other| kernels::sum(Sum::Squares, row, other));
        let nearest = distances.filter(|square| *square > 0.0).fold(f32::INFINITY, f32::min);
        let step = largest(row) / CODE;
        // The error of a distance is its own square root times a step, about.
        nearest < 10.0 * step * step
    });
    blurred.count() * 20 > asked.count()
}

fn largest(row: &[f32]) -> f32 {
    row.iter().fold(0.0f32, |largest, x| largest.max(x.abs()))
}

/// What ranks are measured from: a query, or a point of the graph.
#[derive(Debug, Default, Clone)]
pub struct Probe {
    /// The numbers; for split rows only where sums of differences need them.
    numbers: Vec<f32>,
    /// For split rows: codes of 15 bits, padded with zeros.
    codes: Vec<i16>,
    scale: f32,
    number: f32,
}

/// All vectors of a generation.
pub struct Rows {
    metric: Metric,
    dimensions: usize,
    layout: Layout,
    rows: Arena,
    /// For split rows; a chunk that is missing has been left to the store.
    rest: Option<Arena>,
}

impl Rows {
    /// No rows.
    pub fn new(metric: Metric, dimensions: usize, layout: Layout) -> Self {
        let (row, rest) = match layout {
            Layout::Whole => (HEAD + 4 * dimensions, None),
            Layout::Split => (HEAD + dimensions, Some(Arena::new(3 * dimensions))),
        };
        let rows = Arena::new(row.next_multiple_of(4));
        Self { metric, dimensions, layout, rows, rest }
    }

    /// How rows are kept.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Makes room for a row. `rest` decides, with the first row of a chunk, whether its rests are kept
    /// here. False when there is no memory.
    pub fn reserve(&self, row: usize, rest: bool) -> bool {
        if self.rows.has(row) {
            return true;
        }
        let rest = self.rest.as_ref().filter(|_| rest);
        rest.is_none_or(|arena| arena.reserve(row)) && self.rows.reserve(row)
    }

    /// Bytes a row takes, and its rest.
    pub fn row_bytes(&self) -> (usize, usize) {
        (self.rows.stride(), self.rest.as_ref().map_or(0, Arena::stride))
    }

    /// Bytes the rests of the rows below `end` take.
    pub fn rest_bytes(&self, end: usize) -> u64 {
        let Some(rest) = &self.rest else { return 0 };
        (rest.stride() * end.min(rest.mapped() * CHUNK_ROWS)) as u64
    }

    /// Leaves the rests of the lowest chunk that has them to the store. Nobody may read them any more
    /// when the result is dropped.
    pub fn take_rest(&self) -> Option<(Taken, usize)> {
        let rest = self.rest.as_ref()?;
        let chunk = (0..super::arena::MAX_ROWS / CHUNK_ROWS).find(|c| rest.has(c * CHUNK_ROWS))?;
        Some((rest.take_chunk(chunk)?, chunk))
    }

    /// Whether the rests of a chunk's rows are left to the store.
    pub fn lacks_rest(&self, chunk: usize) -> bool {
        let row = chunk * CHUNK_ROWS;
        self.rest.as_ref().is_some_and(|rest| self.rows.has(row) && !rest.has(row))
    }

    /// Room for the rests of a chunk that [`Rows::lacks_rest`], to be written before it is published.
    pub fn fresh_rest(&self) -> Option<Fresh> {
        self.rest.as_ref()?.fresh_chunk()
    }

    /// Writes the rest of a row, by its place in the chunk, of the numbers the row was written with.
    pub fn write_rest(&self, fresh: &Fresh, place: usize, values: &[f32]) {
        debug_assert_eq!(values.len(), self.dimensions);
        let (_, unit) = scale_of(values);
        let rest = fresh.row(place);
        for (at, x) in values.iter().enumerate() {
            // SAFETY: a rest has three bytes for each number, and nobody else knows this one.
            unsafe { self.put_rest(rest, at, rounded(*x, unit)) };
        }
    }

    /// Puts written rests in their place: from now on they are read.
    pub fn publish_rest(&self, chunk: usize, fresh: Fresh) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.publish(chunk, fresh))
    }

    /// # Safety
    /// `rest` has three bytes for each number, which nobody reads or writes meanwhile.
    unsafe fn put_rest(&self, rest: *mut u8, at: usize, rounded: i32) {
        // SAFETY: the caller's promise. It may be unaligned.
        unsafe {
            rest.add(2 * at).cast::<u16>().write_unaligned(rounded as u16);
            rest.add(2 * self.dimensions + at).write((rounded >> 16) as u8);
        }
    }

    /// Writes a row.
    ///
    /// # Safety
    /// The row is reserved, and nobody reads or writes it meanwhile.
    pub unsafe fn write(&self, row: usize, values: &[f32]) {
        debug_assert_eq!(values.len(), self.dimensions);
        let start = self.rows.row(row);
        match self.layout {
            // SAFETY: the row has HEAD bytes and the numbers behind them, aligned to 4.
            Layout::Whole => unsafe {
                start.cast::<f32>().write(self.number(values));
                let numbers = start.add(HEAD).cast::<f32>();
                std::ptr::copy_nonoverlapping(values.as_ptr(), numbers, values.len());
            },
            Layout::Split => {
                let (scale, unit) = scale_of(values);
                let rest = self.rest.as_ref().map_or(std::ptr::null_mut(), |r| r.row(row));
                let mut squares = 0i64;
                for (at, x) in values.iter().enumerate() {
                    let rounded = rounded(*x, unit);
                    let code = (rounded >> REST_BITS) as i8;
                    squares += i64::from(code) * i64::from(code);
                    // SAFETY: the row has HEAD bytes and a code for each number; a rest has three bytes
                    // for each.
                    unsafe {
                        start.add(HEAD + at).cast::<i8>().write(code);
                        if !rest.is_null() {
                            self.put_rest(rest, at, rounded);
                        }
                    }
                }
                // Of what the codes say, not of the numbers: so equal codes are no distance apart, and the
                // error of a small distance is small.
                let square = squares as f64 * f64::from(scale).powi(2);
                let number = match self.metric {
                    Metric::Cosine if square > 0.0 => 1.0 / square.sqrt(),
                    Metric::Cosine => 0.0,
                    _ => square,
                };
                // SAFETY: the row has HEAD bytes, aligned to 4.
                unsafe {
                    start.cast::<f32>().write(number as f32);
                    start.cast::<f32>().add(1).write(scale);
                }
            }
        }
    }

    /// Gives a row's numbers back. False when the memory does not hold them in full.
    ///
    /// # Safety
    /// The row has been written, and nobody writes it or takes its rest meanwhile.
    pub unsafe fn read(&self, row: usize, values: &mut Vec<f32>) -> bool {
        values.clear();
        let (start, d) = (self.rows.row(row), self.dimensions);
        let Some(rest) = &self.rest else {
            // SAFETY: the row has `d` numbers behind its head, aligned to 4.
            let numbers = unsafe { std::slice::from_raw_parts(start.add(HEAD).cast::<f32>(), d) };
            values.extend_from_slice(numbers);
            return true;
        };
        let rest = rest.row(row);
        if rest.is_null() {
            return false;
        }
        // SAFETY: lengths as in `write`.
        let (scale, codes, low, middle) = unsafe {
            (
                start.cast::<f32>().add(1).read(),
                std::slice::from_raw_parts(start.add(HEAD).cast::<i8>(), d),
                std::slice::from_raw_parts(rest, 2 * d).as_chunks::<2>().0,
                std::slice::from_raw_parts(rest.add(2 * d), d),
            )
        };
        let rest = Rest { scale, codes, low, middle };
        values.resize(d, 0.0);
        #[cfg(target_arch = "x86_64")]
        if kernels::is_fast() {
            // SAFETY: the processor has just been found to support AVX2 and FMA.
            unsafe { rest.join_avx(values) };
            return true;
        }
        rest.join(values);
        true
    }

    /// Prepares a query.
    pub fn probe(&self, query: &[f32]) -> Probe {
        let mut probe = Probe { number: self.number(query), ..Probe::default() };
        if self.layout == Layout::Whole {
            probe.numbers = query.to_vec();
            return probe;
        }
        // The products' sum must stay within 31 bits.
        let most = (i32::MAX / (128 * self.dimensions as i32)).min(16_383) as f32;
        probe.scale = (largest(query) / most).max(f32::MIN_POSITIVE);
        if self.metric == Metric::L1 {
            probe.numbers = query.to_vec();
        }
        probe.codes.extend(query.iter().map(|x| (x / probe.scale).round() as i16));
        probe.codes.resize(self.dimensions.next_multiple_of(16), 0);
        probe
    }

    fn number(&self, query: &[f32]) -> f32 {
        match self.metric {
            Metric::Cosine => {
                let length = length(query);
                if length > 0.0 { (1.0 / length) as f32 } else { 0.0 }
            }
            _ => kernels::sum(Sum::Products, query, query),
        }
    }

    /// Makes a row a probe.
    ///
    /// # Safety
    /// The row has been written, and nobody writes it meanwhile.
    pub unsafe fn probe_row(&self, row: usize, probe: &mut Probe) {
        let (start, d) = (self.rows.row(row), self.dimensions);
        // SAFETY: as in `write`.
        unsafe {
            probe.number = start.cast::<f32>().read();
            match self.layout {
                Layout::Whole => {
                    let numbers = std::slice::from_raw_parts(start.add(HEAD).cast::<f32>(), d);
                    probe.numbers.clear();
                    probe.numbers.extend_from_slice(numbers);
                }
                Layout::Split => {
                    probe.scale = start.cast::<f32>().add(1).read();
                    let codes = std::slice::from_raw_parts(start.add(HEAD).cast::<i8>(), d);
                    probe.codes.clear();
                    probe.codes.extend(codes.iter().map(|code| i16::from(*code)));
                    probe.codes.resize(d.next_multiple_of(16), 0);
                    if self.metric == Metric::L1 {
                        let scale = probe.scale;
                        probe.numbers.clear();
                        probe.numbers.extend(codes.iter().map(|code| f32::from(*code) * scale));
                    }
                }
            }
        }
    }

    /// Asks the processor for what ranks a row, ahead of its use.
    #[inline(always)]
    pub fn prefetch(&self, row: usize) {
        self.rows.prefetch(row);
    }

    /// Asks the processor for all of a row, ahead of its use.
    #[inline(always)]
    pub fn prefetch_whole(&self, row: usize) {
        self.rows.prefetch(row);
        if let Some(rest) = &self.rest {
            rest.prefetch(row);
        }
    }

    /// What a rank between two rows stands for: their squared distance, or in proportion to it.
    ///
    /// # Safety
    /// Both rows have been written, and nobody writes them meanwhile.
    #[inline]
    pub unsafe fn span(&self, a: usize, b: usize, rank: f32) -> f32 {
        let span = match self.metric {
            Metric::L2 | Metric::Cosine => rank,
            Metric::L1 => rank * rank,
            Metric::InnerProduct => {
                // SAFETY: the caller's promise; a row begins with its squared length.
                let square = |row| unsafe { self.rows.row(row).cast::<f32>().read() };
                square(a) + square(b) + 2.0 * rank
            }
        };
        span.max(0.0)
    }

    /// Ranks of rows: monotone stand-ins for their distances from the probe, never NaN.
    ///
    /// # Safety
    /// All rows have been written, and nobody writes them meanwhile.
    #[inline]
    pub unsafe fn ranks(&self, probe: &Probe, rows: &[u32], ranks: &mut Vec<f32>) {
        ranks.clear();
        #[cfg(target_arch = "x86_64")]
        if kernels::is_fast() {
            // SAFETY: the processor can; the rest is the caller's promise.
            unsafe { self.ranks_avx(probe, rows, ranks) };
            return;
        }
        for row in rows {
            // SAFETY: the caller's promise; lengths as in `write`.
            let rank = unsafe {
                let start = self.rows.row(*row as usize);
                let numbers = start.add(HEAD);
                match self.layout {
                    Layout::Whole => {
                        let row =
                            std::slice::from_raw_parts(numbers.cast::<f32>(), self.dimensions);
                        let sum = kernels::plain::sum(self.sum(), &probe.numbers, row);
                        self.whole_rank(probe, start.cast::<f32>().read(), sum)
                    }
                    Layout::Split => {
                        let (number, scale) =
                            (start.cast::<f32>().read(), start.cast::<f32>().add(1).read());
                        let row = std::slice::from_raw_parts(numbers.cast::<i8>(), self.dimensions);
                        match self.metric {
                            Metric::L1 => {
                                kernels::plain::code_differences(&probe.numbers, row, scale)
                            }
                            _ => {
                                let sum = kernels::plain::codes(&probe.codes, row);
                                self.split_rank(probe, number, sum as f32 * (probe.scale * scale))
                            }
                        }
                    }
                }
            };
            ranks.push(finite(rank));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn ranks_avx(&self, probe: &Probe, rows: &[u32], ranks: &mut Vec<f32>) {
        for row in rows {
            // SAFETY: the caller's promise; a row may be read up to the next multiple of 16.
            let rank = unsafe {
                let start = self.rows.row(*row as usize);
                let numbers = start.add(HEAD);
                match self.layout {
                    Layout::Whole => {
                        let row =
                            std::slice::from_raw_parts(numbers.cast::<f32>(), self.dimensions);
                        let sum = kernels::avx::sum(self.sum(), &probe.numbers, row);
                        self.whole_rank(probe, start.cast::<f32>().read(), sum)
                    }
                    Layout::Split => {
                        let (number, scale) =
                            (start.cast::<f32>().read(), start.cast::<f32>().add(1).read());
                        match self.metric {
                            Metric::L1 => {
                                let row = std::slice::from_raw_parts(
                                    numbers.cast::<i8>(),
                                    self.dimensions,
                                );
                                kernels::avx::code_differences(&probe.numbers, row, scale)
                            }
                            _ => {
                                let sum = kernels::avx::codes(&probe.codes, numbers.cast());
                                self.split_rank(probe, number, sum as f32 * (probe.scale * scale))
                            }
                        }
                    }
                }
            };
            ranks.push(finite(rank));
        }
    }

    #[inline(always)]
    fn sum(&self) -> Sum {
        match self.metric {
            Metric::L2 => Sum::Squares,
            Metric::InnerProduct | Metric::Cosine => Sum::Products,
            Metric::L1 => Sum::Differences,
        }
    }

    #[inline(always)]
    fn whole_rank(&self, probe: &Probe, number: f32, sum: f32) -> f32 {
        match self.metric {
            Metric::L2 | Metric::L1 => sum,
            Metric::InnerProduct => -sum,
            Metric::Cosine => 1.0 - sum * probe.number * number,
        }
    }

    #[inline(always)]
    fn split_rank(&self, probe: &Probe, number: f32, product: f32) -> f32 {
        match self.metric {
            Metric::L2 => probe.number + number - 2.0 * product,
            Metric::Cosine => 1.0 - product * probe.number * number,
            Metric::InnerProduct | Metric::L1 => -product,
        }
    }
}

/// The scale of a split row, and the unit of its fixed-point numbers.
fn scale_of(values: &[f32]) -> (f32, f64) {
    // Not rounded down, or the largest number would not fit.
    let scale = (largest(values) / CODE).next_up().max(f32::MIN_POSITIVE);
    (scale, f64::from(scale) / f64::from(1u32 << REST_BITS))
}

/// A number of a split row as a fixed-point number, half a code higher: its highest byte is the code.
#[inline(always)]
fn rounded(x: f32, unit: f64) -> i32 {
    let most = i64::from(CODE as i32) << REST_BITS;
    let fixed = ((f64::from(x) / unit).round() as i64).clamp(-most, most) as i32;
    fixed + (1 << (REST_BITS - 1))
}

/// A split row's parts.
struct Rest<'a> {
    scale: f32,
    codes: &'a [i8],
    low: &'a [[u8; 2]],
    middle: &'a [u8],
}

impl Rest<'_> {
    /// The numbers.
    #[inline(always)]
    fn join(&self, values: &mut [f32]) {
        let unit = f64::from(self.scale) / f64::from(1u32 << REST_BITS);
        let parts = self.codes.iter().zip(self.low).zip(self.middle);
        for (value, ((code, low), middle)) in values.iter_mut().zip(parts) {
            let fixed = (i32::from(*code) << REST_BITS)
                + (i32::from(*middle) << 16)
                + i32::from(u16::from_ne_bytes(*low))
                - (1 << (REST_BITS - 1));
            *value = (f64::from(fixed) * unit) as f32;
        }
    }

    /// The same, compiled for wide registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn join_avx(&self, values: &mut [f32]) {
        self.join(values);
    }
}

#[inline(always)]
fn finite(rank: f32) -> f32 {
    // Overflow makes infinity minus infinity.
    if rank.is_nan() { f32::INFINITY } else { rank }
}

#[cfg(test)]
mod tests {
    use super::super::distance::exact;
    use super::super::testing::Random;
    use super::*;

    const METRICS: [Metric; 4] = [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1];

    fn rows(metric: Metric, layout: Layout, vectors: &[Vec<f32>]) -> Rows {
        let rows = Rows::new(metric, vectors[0].len(), layout);
        for (at, vector) in vectors.iter().enumerate() {
            assert!(rows.reserve(at, true));
            // SAFETY: reserved, and nobody else knows it.
            unsafe { rows.write(at, vector) };
        }
        rows
    }

    #[test]
    fn ranks_order_as_distances_do() {
        let mut random = Random::new(2);
        for (metric, layout) in
            METRICS.iter().flat_map(|m| [(*m, Layout::Whole), (*m, Layout::Split)])
        {
            for dimensions in [1, 3, 15, 16, 17, 100, 384] {
                let vectors: Vec<_> = (0..200).map(|_| random.vector(dimensions)).collect();
                let query = random.vector(dimensions);
                let rows = rows(metric, layout, &vectors);
                let mut probe = rows.probe(&query);
                let (ids, mut ranks): (Vec<u32>, _) = ((0..200).collect(), Vec::new());
                // Once from a query, once from a point.
                for from in [query, vectors[7].clone()] {
                    // SAFETY: all have been written.
                    unsafe { rows.ranks(&probe, &ids, &mut ranks) };
                    let scale = (dimensions as f32).sqrt()
                        * if layout == Layout::Split { 0.02 } else { 1e-5 };
                    for (rank, vector) in ranks.iter().zip(&vectors) {
                        let distance = exact(metric, &from, vector) as f32;
                        let distance =
                            if metric == Metric::L2 { distance.powi(2) } else { distance };
                        let slack = scale
                            * if metric == Metric::Cosine {
                                1.0
                            } else {
                                (dimensions as f32).sqrt()
                            };
                        assert!(
                            (rank - distance).abs() <= slack.max(1e-5),
                            "{metric:?} {layout:?} {dimensions}: {rank} {distance}"
                        );
                    }
                    // SAFETY: as above.
                    unsafe { rows.probe_row(7, &mut probe) };
                }
            }
        }
    }

    #[test]
    fn split_rows_give_their_numbers_back() {
        let mut random = Random::new(4);
        let mut vectors: Vec<_> = (0..300).map(|_| random.vector(67)).collect();
        vectors.push(vec![0.0; 67]);
        vectors.push((0..67).map(|at| 1e-42 * at as f32).collect());
        vectors.push((0..67).map(|at| if at % 2 == 0 { f32::MAX } else { f32::MIN }).collect());
        let rows = rows(Metric::L2, Layout::Split, &vectors);
        let mut back = Vec::new();
        let mut equal = 0;
        for (at, vector) in vectors.iter().enumerate() {
            // SAFETY: written above.
            assert!(unsafe { rows.read(at, &mut back) });
            let largest = largest(vector);
            for (x, y) in vector.iter().zip(&back) {
                assert!((x - y).abs() <= largest / 2f32.powi(31), "{x} {y}");
                assert!(
                    x == y || x.abs() < largest / 128.0 || largest < 1e-30,
                    "{x} {y} of {largest}"
                );
                equal += usize::from(x == y);
            }
        }
        assert!(equal > 67 * 290, "{equal}");
    }

    #[test]
    fn a_rest_that_was_taken_is_missed() {
        let vectors: Vec<_> = (0..5).map(|at| vec![at as f32; 40]).collect();
        let rows = rows(Metric::L2, Layout::Split, &vectors);
        assert_eq!(rows.rest_bytes(5), 5 * 120);
        drop(rows.take_rest().expect("one chunk"));
        let mut back = Vec::new();
        // SAFETY: written above.
        assert!(!unsafe { rows.read(3, &mut back) } && rows.take_rest().is_none());
        assert!(rows.reserve(6, true));
        // SAFETY: reserved just now.
        unsafe { rows.write(6, &[1.0; 40]) };
        // A chunk without rests stays so: those of its older rows are gone.
        // SAFETY: as above.
        assert!(!unsafe { rows.read(6, &mut back) });
    }

    #[test]
    fn the_layout_fits_the_vectors() {
        let mut random = Random::new(6);
        let mut fit = |dimensions: usize, offset: f32| {
            let rows: Vec<Vec<f32>> = (0..100)
                .map(|_| random.vector(dimensions).iter().map(|x| x + offset).collect())
                .collect();
            Layout::fit(dimensions, rows.iter().map(Vec::as_slice))
        };
        assert_eq!(fit(100, 0.0), Layout::Split);
        assert_eq!(fit(100, 2.0), Layout::Split);
        assert_eq!(fit(100, 1000.0), Layout::Whole, "eight bits could not tell them apart");
        assert_eq!(fit(3, 0.0), Layout::Whole);
        // Spread well around zero, but in heaps.
        let centres: Vec<_> = (0..10).map(|_| random.vector(64)).collect();
        let mut heaps = |spread: f32| {
            let rows: Vec<Vec<f32>> = (0..500)
                .map(|at| centres[at % 10].iter().map(|x| x + spread * random.number()).collect())
                .collect();
            Layout::fit(64, rows.iter().map(Vec::as_slice))
        };
        assert_eq!(heaps(0.1), Layout::Split);
        assert_eq!(heaps(0.001), Layout::Whole);
    }

    #[test]
    fn ranks_are_never_nan() {
        let numbers = [0.0, 1e30, -1e30, 3e38, -3e38, 1e-40];
        let vectors: Vec<_> = numbers.iter().map(|x| vec![*x; 40]).collect();
        for (metric, layout) in
            METRICS.iter().flat_map(|m| [(*m, Layout::Whole), (*m, Layout::Split)])
        {
            let rows = rows(metric, layout, &vectors);
            let mut ranks = Vec::new();
            for query in &vectors {
                // SAFETY: all have been written.
                unsafe { rows.ranks(&rows.probe(query), &[0, 1, 2, 3, 4, 5], &mut ranks) };
                assert!(ranks.iter().all(|rank| !rank.is_nan()), "{metric:?} {layout:?} {ranks:?}");
            }
        }
    }
}
