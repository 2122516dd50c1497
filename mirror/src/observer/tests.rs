//! The observer with events by hand, and a candidate on a real socket.

use super::*;
use crate::ledger::Ledger;
use crate::tap::Begin;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Stage {
    candidate: TcpListener,
    tell: UnboundedSender<Vec<Told>>,
    ledger: Arc<Ledger>,
    budget: Arc<Budget>,
    observing: tokio::task::JoinHandle<()>,
    judging: std::thread::JoinHandle<crate::judge::Judge>,
}

/// An observer before a candidate that the test plays, with time for answers that never come.
async fn stage() -> Stage {
    let candidate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let budget = Budget::new(1 << 20);
    let way = Arc::new(Way {
        addresses: watch::channel(vec![candidate.local_addr().unwrap()]).1,
        timeout: Duration::from_millis(50),
        tag: None,
        budget: Arc::clone(&budget),
        limits: Limits::default(),
        backlog: 1 << 20,
    });
    let (judge, judging) = crate::judge::start(crate::judge::Judge::silent(), || ()).unwrap();
    let given =
        Observing { way, connections: 8, judge, stop: Arc::default(), patience: Duration::from_secs(30) };
    let (tell, told) = unbounded_channel();
    let observing = tokio::spawn(observe(given, told));
    Stage { candidate, tell, ledger: Arc::default(), budget, observing, judging }
}

impl Stage {
    fn tell(&self, event: Event) {
        let client = ([127, 0, 0, 1], 1).into();
        self.tell.send(vec![Told { connection: 0, client, event }]).unwrap();
    }

    fn piece(&self, bytes: &[u8]) -> Piece {
        Piece { at: Time(1), chunk: Chunk::copy(&self.budget, bytes), ends: true }
    }

    fn begin(&self, number: u64) {
        let begin = Begin::Compare(self.ledger.begin());
        self.tell(Event::Begin { begin, number, piece: self.piece(GET) });
    }

    /// The request on the candidate's next connection.
    async fn asked(&self) -> tokio::net::TcpStream {
        let (mut stream, _) = self.candidate.accept().await.unwrap();
        let mut request = vec![0; GET.len()];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(request, GET);
        stream
    }

    async fn end(self) -> crate::ledger::Totals {
        drop(self.tell);
        self.observing.await.unwrap();
        self.judging.join().unwrap();
        assert_eq!(self.budget.used(), 0);
        self.ledger.totals()
    }
}

#[tokio::test]
async fn what_follows_an_abandoned_exchange_is_not_mistaken_for_it() {
    let stage = stage().await;
    stage.begin(0);
    let first = stage.asked().await;
    stage.tell(Event::Abandon { number: 0, state: State::Memory });
    stage.begin(1);
    // The abandoned one's connection is closed, the next one has its own.
    let second = stage.asked().await;
    stage.tell(Event::More { number: 1, side: Side::Response, piece: stage.piece(OK) });
    let totals = stage.end().await;
    assert_eq!((totals.of(State::Memory), totals.of(State::CandidateTimeout)), (1, 1), "{totals:?}");
    assert!(totals.balances());
    drop((first, second));
}

#[tokio::test]
async fn a_request_waits_for_the_one_before_it() {
    let stage = stage().await;
    for number in 0..3 {
        stage.begin(number);
        stage.tell(Event::More { number, side: Side::Response, piece: stage.piece(OK) });
    }
    let _first = stage.asked().await;
    // No second connection before the first has had its time; then the others are too late.
    let totals = stage.end().await;
    let timed_out = totals.of(State::CandidateTimeout);
    assert_eq!(timed_out + totals.of(State::Queue), 3, "{totals:?}");
    assert!(timed_out >= 1);
}

#[tokio::test]
async fn the_relays_end_ends_what_is_open() {
    let stage = stage().await;
    stage.begin(0);
    let _first = stage.asked().await;
    stage.tell(Event::Closed { state: State::ClientGone });
    assert_eq!(stage.end().await.of(State::ClientGone), 1);
}
