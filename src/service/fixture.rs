//! A service over a core on a simulated disk, and the shortest ways to ask it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use crate::config;
use crate::core::{self, Core, Threads};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::error::Result;
use crate::limits;
use crate::model::look::Wanted;
use crate::service::cache::{Answer, Question};
use crate::service::lists::ListRequest;
use crate::service::scan_pool::ScanPool;
use crate::service::writes::{Ask, Deed};
use crate::service::{Asker, Caller, Paging, Secret, Service};
use crate::time::{Clock, Millis};

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}

/// A call that has come as far as it can without waiting.
pub(super) fn begin<'a, T>(call: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    let mut call: Pin<Box<dyn Future<Output = T> + 'a>> = Box::pin(call);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "nothing to wait for");
    call
}

/// Keeps all threads of a pool busy until it is dropped.
pub(super) fn hold(pool: &ScanPool, threads: usize) -> impl Sized + '_ {
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let one = |_| {
        let held = held.clone();
        let work = move || {
            let _ = held.recv();
            Ok(())
        };
        begin(pool.run(Instant::now() + limits::QUERY_TIME_MAX, work))
    };
    let jobs: Vec<Pin<Box<dyn Future<Output = Result<()>> + '_>>> = (0..threads).map(one).collect();
    (release, jobs)
}

pub(super) fn start_core() -> (Core, Threads) {
    start_core_on(&SimDisk::new(1))
}

pub(super) fn start_core_on(disk: &SimDisk) -> (Core, Threads) {
    disk.create_dir_all(Path::new("/data")).unwrap();
    let settings = core::Settings { ballast_bytes: 4_096, ..core::Settings::default() };
    core::start(Arc::new(disk.clone()), Path::new("/data"), &settings, Clock::manual(Millis(1))).unwrap()
}

pub(super) fn over(core: &Core, cache_bytes: usize) -> Service {
    let settings = config::Settings { cache_bytes, ..config::Settings::default() };
    let secret = Secret::of_folder(&SimDisk::new(2), Path::new("/")).unwrap();
    Service::new(core.clone(), &settings, secret).unwrap()
}

pub(super) fn start(cache_bytes: usize) -> (Service, Threads) {
    let (core, threads) = start_core();
    (over(&core, cache_bytes), threads)
}

pub(super) fn superuser(service: &Service) -> Asker {
    service.asker(Caller::Superuser, "GET", Vec::new().into())
}

pub(super) fn nobody(service: &Service) -> Asker {
    service.asker(Caller::Anonymous, "GET", Vec::new().into())
}

pub(super) fn define(service: &Service, definition: &str) {
    block_on(service.create_collection(Caller::Superuser, definition.as_bytes(), None)).unwrap();
}

pub(super) fn put(service: &Service, collection: &str, id: &str, body: &str) {
    let asker = superuser(service);
    let deed = Deed::Put { id: Some(id), body: body.as_bytes(), if_match: None, create_only: false };
    block_on(service.store_record(Ask { asker: &asker, collection, wanted: Wanted::default(), deed }, None)).unwrap();
}

/// A first page, uncounted; an empty filter for none.
pub(super) fn page(filter: &str) -> ListRequest<'_> {
    let paging = Paging { page: 1, per_page: 30, count: false };
    let filter = Some(filter).filter(|filter| !filter.is_empty());
    ListRequest {
        filter,
        sort: None,
        wanted: Wanted::default(),
        paging,
        cursor: None,
        search: None,
        explain: false,
        min: None,
    }
}

pub(super) async fn list_of(service: &Service, asker: &Asker, collection: &str, filter: &str) -> Answer {
    let words = format!("{collection}?{filter}");
    service.list_records(asker, &Question::of(asker, &words), collection, page(filter)).await.unwrap()
}

pub(super) fn list(service: &Service, asker: &Asker, collection: &str, filter: &str) -> Answer {
    block_on(list_of(service, asker, collection, filter))
}

pub(super) fn get(service: &Service, asker: &Asker, collection: &str, id: &str) -> Answer {
    let words = format!("{collection}/{id}");
    let question = Question::of(asker, &words);
    block_on(service.view_record(asker, &question, collection, id, Wanted::default(), None)).unwrap()
}
