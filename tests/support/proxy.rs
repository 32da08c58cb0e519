//! A service in front of replicas: new connections go to those that accept, in turn.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Forwards from a free port of the loopback; returns the port. It lives as long as the process.
pub fn start(backends: Vec<SocketAddr>) -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = socket.local_addr().expect("bound").port();
    let backends = Arc::new(backends);
    let turn = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for client in socket.incoming().flatten() {
            let (backends, turn) = (Arc::clone(&backends), Arc::clone(&turn));
            std::thread::spawn(move || {
                let first = turn.fetch_add(1, Ordering::Relaxed);
                let in_turn = (0..backends.len()).map(|n| backends[(first + n) % backends.len()]);
                for backend in in_turn {
                    if let Ok(server) = TcpStream::connect(backend) {
                        return forward(&client, &server);
                    }
                }
            });
        }
    });
    port
}

fn forward(client: &TcpStream, server: &TcpStream) {
    let both = [(client, server), (server, client)];
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    std::thread::scope(|scope| {
        for (mut from, mut to) in both {
            scope.spawn(move || {
                let _ = copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
                let _ = from.shutdown(Shutdown::Read);
            });
        }
    });
}
