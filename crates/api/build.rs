//! The API page is optional: an empty folder stands in when it was not built.

fn main() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/dist/docs");
    if let Err(error) = std::fs::create_dir_all(&folder) {
        println!("cargo::warning=cannot create {}: {error}", folder.display());
    }
    println!("cargo::rerun-if-changed={}", folder.display());
}
