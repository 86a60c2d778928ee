//! Compiles the CUDA kernels to PTX, with the feature `cuda`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::compile();
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::{env, path::PathBuf, process::Command};

    /// The least compute capability: bf16 on tensor cores. The driver compiles PTX for what is newer.
    const ARCHITECTURE: &str = "compute_80";

    pub(crate) fn compile() {
        println!("cargo::rerun-if-changed=cuda");
        for name in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.ptx");
        let nvcc = nvcc();
        let run = Command::new(&nvcc)
            .args(["--ptx", "-O3", "-std=c++17", "-arch", ARCHITECTURE, "-o"])
            .arg(&out)
            .arg("cuda/kernels.cu")
            .output();
        match run {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                panic!("{}:\n{}", nvcc.display(), String::from_utf8_lossy(&output.stderr))
            }
            Err(error) => panic!(
                "{}: {error}; the feature `cuda` needs NVIDIA's compiler: install the CUDA toolkit, or run \
                 `. scripts/cuda_env.sh`, which fetches what is needed",
                nvcc.display()
            ),
        }
    }

    fn nvcc() -> PathBuf {
        if let Some(nvcc) = env::var_os("NVCC") {
            return nvcc.into();
        }
        let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os);
        let homes = homes.map(PathBuf::from).chain([PathBuf::from("/usr/local/cuda")]);
        let found = homes.map(|home| home.join("bin/nvcc")).find(|nvcc| nvcc.exists());
        found.unwrap_or_else(|| PathBuf::from("nvcc"))
    }
}
