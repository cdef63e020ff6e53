//! What this room's tests share.

/// A small deterministic generator (xorshift64*): tests must not depend on luck.
pub struct Random(u64);

impl Random {
    /// Seeds it; zero is allowed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A number from -1 to 1.
    pub fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// A vector of numbers from -1 to 1.
    pub fn vector(&mut self, dimensions: usize) -> Vec<f32> {
        (0..dimensions).map(|_| self.number()).collect()
    }

    /// `count` vectors scattered around one centre for every fifty of them, as embeddings are.
    pub fn clusters(&mut self, count: usize, dimensions: usize, spread: f32) -> Vec<Vec<f32>> {
        let centres: Vec<Vec<f32>> =
            (0..count.div_ceil(50)).map(|_| self.vector(dimensions)).collect();
        (0..count)
            .map(|_| {
                let centre = &centres[self.below(centres.len())];
                centre.iter().map(|x| x + spread * self.number()).collect()
            })
            .collect()
    }
}
