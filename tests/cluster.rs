//! End to end.
mod support;
use support::cluster::Cluster;

#[test]
fn boots() {
    let Some(mut cluster) = Cluster::start("cluster") else { return };
    println!("{}", cluster.kubectl_ok(&["get", "ns"], ""));
    cluster.restart_api(std::time::Duration::from_millis(100));
    println!("{}", cluster.kubectl_ok(&["get", "ns"], ""));
}
