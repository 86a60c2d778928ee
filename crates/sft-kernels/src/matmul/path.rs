//! Which instruction set computes.

use std::sync::OnceLock;

use candle_core::{Result, bail};

#[cfg(target_arch = "aarch64")]
use super::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512, Avx512Bf16};
use super::{
    dot,
    lanes::{Lanes, Portable},
    limit,
    task::Task,
    tile::{self, Tile},
    weight::Values,
};

/// The variable that chooses a path, for comparisons and for finding faults.
const VARIABLE: &str = "SFT_KERNELS";

/// The value of [`VARIABLE`] that asks for no kernels at all.
const REFERENCE: &str = "reference";

/// Whether `SFT_KERNELS=reference` asks that everything be composed of candle's operations, which
/// is slow, and what the kernels are compared with.
pub fn reference() -> bool {
    static WISHED: OnceLock<bool> = OnceLock::new();
    *WISHED.get_or_init(|| std::env::var_os(VARIABLE).is_some_and(|wish| wish == REFERENCE))
}

/// An instruction set for which the products are compiled, from the slowest to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Portable,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
}

/// Makes cells of a row of activations.
pub(super) type PackRow = unsafe fn(&[f32], &mut [u32]);

/// A path's functions and the sizes they work with.
///
/// The functions may be called only where [`Path::available`] says so; what else they ask for
/// stands where they are written.
pub(super) struct Kernels {
    pub(super) paired: bool,
    /// Sums in a vector.
    pub(super) lanes: usize,
    /// Rows and columns of a register tile.
    pub(super) rows: usize,
    pub(super) width: usize,
    /// For bf16 weights; rows for f32 ones are copied.
    pub(super) pack_row: PackRow,
    pub(super) dots: unsafe fn(&Task<'_>),
    pub(super) panels: unsafe fn(&Task<'_>),
    /// For measuring the limit.
    pub(super) spin: unsafe fn(usize) -> f32,
}

/// The generic kernels, compiled for a type of lanes and its features.
macro_rules! compiled {
    ($lanes:ty $(, $features:literal)?) => {{
        $(#[target_feature(enable = $features)])?
        unsafe fn pack_row(x: &[f32], cells: &mut [u32]) {
            // SAFETY: compiled for the features; the rest is the caller's promise.
            unsafe { <$lanes>::pack_row(x, cells) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe fn dots(task: &Task<'_>) {
            // SAFETY: as above.
            unsafe { dot::dots::<$lanes>(task) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe fn tile(tile: &Tile) {
            // SAFETY: as above.
            unsafe { tile::tile::<$lanes>(tile) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe fn panels(task: &Task<'_>) {
            // SAFETY: as above.
            unsafe { tile::panels::<$lanes>(task, tile) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe fn spin(rounds: usize) -> f32 {
            // SAFETY: as above.
            unsafe { limit::spin::<$lanes>(rounds) }
        }
        Kernels {
            paired: <$lanes>::PAIRED,
            lanes: <$lanes>::WIDTH,
            rows: <$lanes>::ROWS,
            width: <$lanes>::WIDTH * <$lanes>::VECTORS,
            pack_row,
            dots,
            panels,
            spin,
        }
    }};
}

impl Path {
    const ALL: &'static [Self] = &[
        Self::Portable,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512Bf16,
    ];

    /// The paths of this processor; the last is the fastest.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|path| match path {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => avx512() && is_x86_feature_detected!("avx512bf16"),
        })
    }

    /// The path of this process: what `SFT_KERNELS` names, or else the fastest.
    pub(super) fn chosen() -> Result<Self> {
        static CHOSEN: OnceLock<std::result::Result<Path, String>> = OnceLock::new();
        let wish = || {
            let wish = std::env::var_os(VARIABLE).filter(|wish| wish != REFERENCE);
            wish.map(|wish| wish.to_string_lossy().into_owned())
        };
        match CHOSEN.get_or_init(|| Self::choose(wish().as_deref())) {
            Ok(path) => Ok(*path),
            Err(message) => bail!("{message}"),
        }
    }

    fn choose(wish: Option<&str>) -> std::result::Result<Self, String> {
        let wished = |path: &Self| wish.is_none_or(|wish| wish == path.name());
        Self::available().filter(wished).last().ok_or_else(|| {
            let names: Vec<_> = Self::available().map(Self::name).collect();
            format!(
                "{VARIABLE}={} is not a kernel path of this processor: unset it or name one of \
                 {REFERENCE}, {}",
                wish.unwrap_or_default(),
                names.join(", ")
            )
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => "avx512bf16",
        }
    }

    /// The functions of this path for a weight.
    pub(super) fn kernels(self, weight: Values<'_>) -> Kernels {
        match (self, weight) {
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512Bf16, Values::F32(_)) => Self::Avx512.compiled(),
            _ => self.compiled(),
        }
    }

    fn compiled(self) -> Kernels {
        match self {
            Self::Portable => compiled!(Portable),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => compiled!(Neon),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => compiled!(Avx2, "avx2,fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => compiled!(Avx512, "avx512f,avx512bw,avx512vl"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => compiled!(Avx512Bf16, "avx512f,avx512bw,avx512vl,avx512bf16"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_granted_or_refused_with_the_choice() {
        assert_eq!(Path::choose(Some("portable")), Ok(Path::Portable));
        assert_eq!(Path::choose(None).ok(), Path::available().last());
        let refusal = Path::choose(Some("sse9")).unwrap_err();
        assert!(refusal.starts_with("SFT_KERNELS=sse9 is not"), "{refusal}");
        assert!(refusal.contains("one of reference, portable"), "{refusal}");
    }
}
