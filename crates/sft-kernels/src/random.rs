//! Counter-based randomness: every number is a pure function of what it is for.
//!
//! Resuming, recomputing and re-batching then cost nothing: there is no generator state.

use std::io;

use rayon::prelude::*;

/// Ten rounds of Philox-4x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011;
/// checked against the Random123 known answers).
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [[c0], [c1], [c2], [c3]] = philox4x32_lanes(counter.map(|counter| [counter]), key);
    [c0, c1, c2, c3]
}

/// [`philox4x32`] of several counters side by side: the first number of each, the second of each, ...
#[inline(always)]
#[allow(clippy::inline_always)]
pub(crate) fn philox4x32_lanes<const N: usize>(
    [mut c0, mut c1, mut c2, mut c3]: [[u32; N]; 4],
    [mut k0, mut k1]: [u32; 2],
) -> [[u32; N]; 4] {
    for _ in 0..10 {
        for i in 0..N {
            let p0 = u64::from(c0[i]) * 0xD251_1F53;
            let p1 = u64::from(c2[i]) * 0xCD9E_8D57;
            (c0[i], c1[i], c2[i], c3[i]) = (
                (p1 >> 32) as u32 ^ c1[i] ^ k0,
                p1 as u32,
                (p0 >> 32) as u32 ^ c3[i] ^ k1,
                p0 as u32,
            );
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// FNV-1a, 64 bits: the same in every process and version. Finds damage and mistakes, not malice.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// The hash of what has been added.
    pub fn finish(self) -> u64 {
        self.0
    }

    /// The same in 16 hexadecimal digits.
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

impl io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The stream number of a module: the hash of its name.
pub fn module_key(name: &str) -> u64 {
    let mut hash = Fnv::default();
    hash.update(name.as_bytes());
    hash.finish()
}

/// Counters drawn side by side.
const SIDE_BY_SIDE: usize = 8;
/// Numbers that one thread draws at a time: whole groups of counters, each of which gives four.
const PART: usize = 512 * 4 * SIDE_BY_SIDE;

/// `len` numbers, uniform in `[0, 1)` with 24 bits, of the stream `(seed, stream)`.
pub fn uniform(seed: u64, stream: u64, len: usize) -> Vec<f32> {
    let (key, stream) = (split(seed), split(stream));
    let mut numbers = vec![0.0; len];
    numbers.par_chunks_mut(PART).enumerate().for_each(|(part, numbers)| {
        let first = (part * PART / 4) as u64;
        for (group, numbers) in numbers.chunks_mut(4 * SIDE_BY_SIDE).enumerate() {
            let first = first + (group * SIDE_BY_SIDE) as u64;
            let blocks: [[u32; 2]; SIDE_BY_SIDE] = std::array::from_fn(|i| split(first + i as u64));
            let [low, high] = stream.map(|half| [half; SIDE_BY_SIDE]);
            let counters = [blocks.map(|[low, _]| low), blocks.map(|[_, high]| high), low, high];
            let bits = philox4x32_lanes(counters, key);
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = (bits[i % 4][i / 4] >> 8) as f32 / 16_777_216.0;
            }
        }
    });
    numbers
}

/// Low and high half.
pub(crate) fn split(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_known_answers() {
        // kat_vectors of Random123 1.14, philox 4x32 10
        assert_eq!(
            philox4x32([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn module_keys_are_fnv1a() {
        assert_eq!(module_key(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(module_key("a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn uniform_covers_the_interval() {
        let x = uniform(7, 9, 100_001);
        assert_eq!(x.len(), 100_001);
        assert!(x.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        assert_eq!(uniform(7, 9, 10), x[..10]);
        for i in [0, 1, 35, 70_000, 100_000] {
            let bits = philox4x32([i as u32 / 4, 0, 9, 0], [7, 0])[i % 4];
            assert_eq!(x[i], (bits >> 8) as f32 / 16_777_216.0);
        }
        assert_ne!(uniform(7, 10, 10), x[..10]);
        assert_ne!(uniform(8, 9, 10), x[..10]);
    }
}
