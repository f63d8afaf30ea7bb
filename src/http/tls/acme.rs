//! The server's own certificates, asked of an authority by ACME (RFC 8555) and renewed by themselves. The authority looks
//! whether a name leads here by the port that is served anyway (TLS-ALPN-01, RFC 8737).
//!
//! ```text
//! acme/account.json      who this server is to the authority
//! acme/certificate.pem   what it was given last: for which names, chain and key in one file, so that they are of one piece
//! ```
//!
//! Invariants: what can't be had is asked for again, ever more seldom, and what there is is shown on; what is shown to the
//! authority is shown while its order is under way, and to nobody who does not ask for that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{HOST, RETRY_AFTER};
use axum::http::{HeaderValue, Request};
use bytes::Bytes;
use http_body_util::Limited;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient, Identifier, NewAccount,
    NewOrder, OrderStatus, RetryPolicy,
};
use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use yasna::models::{GeneralizedTime, UTCTime};
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, Tag};

use super::builder;
use crate::config::Settings;
use crate::disk::{self, Disk, RealDisk};
use crate::http::meters::Traffic;
use crate::limits;
use crate::outbound::Peer;
use crate::time::Clock;

/// What a client offers that wants to see whether a name leads here.
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";

/// What an authority is asked for, and what it is shown meanwhile.
#[derive(Debug)]
pub(super) struct Acme {
    domains: Vec<String>,
    contact: Option<String>,
    directory: String,
    folder: PathBuf,
    shown: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct Known {
    directory: String,
    credentials: serde_json::Value,
}

impl Acme {
    /// As the settings have it; `None` where they name no domain.
    pub(super) fn of(settings: &Settings) -> Option<Acme> {
        (!settings.acme_domains.is_empty()).then(|| Acme {
            domains: settings.acme_domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            contact: settings.acme_contact.as_ref().map(|contact| format!("mailto:{contact}")),
            directory: settings.acme_directory.clone(),
            folder: settings.data.join("acme"),
            shown: Mutex::default(),
        })
    }

    /// Where the certificate and its key are.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// What is shown to an authority that looks for a name.
    pub(super) fn shown(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        self.shown.lock().get(&name?.to_ascii_lowercase()).cloned()
    }

    /// Has a certificate there that is good for a while, `changed` called for each new one; never returns.
    pub(super) async fn keep(&self, changed: impl Fn(), traffic: &Traffic) {
        let mut pause = limits::ACME_PAUSE_MIN;
        loop {
            if let Some(left) = self.left() {
                sleep(left.min(limits::ACME_LOOK)).await;
                continue;
            }
            let ordered = timeout(limits::ACME_ORDER_TIME, self.order()).await;
            self.shown.lock().clear();
            let ordered = ordered.unwrap_or_else(|_| Err("the authority takes too long".to_owned()));
            if ordered.is_ok() {
                changed();
            }
            let good = || self.left().map(drop).ok_or("what it gave is no certificate that is good now".to_owned());
            match ordered.and_then(|()| good()) {
                Ok(()) => pause = limits::ACME_PAUSE_MIN,
                Err(error) => {
                    traffic.renewals_failed.add(1);
                    let again_s = pause.as_secs();
                    tracing::warn!(%error, again_s, "the authority gives no certificate");
                    sleep(pause).await;
                    pause = (pause * 2).min(limits::ACME_PAUSE_MAX);
                }
            }
        }
    }

    /// How long what there is needs no renewal; `None` where it needs one, or is none for these names.
    fn left(&self) -> Option<Duration> {
        let bytes = disk::read_all(&RealDisk, &self.file()).ok()?;
        bytes.starts_with(self.head().as_bytes()).then_some(())?;
        let certificate = CertificateDer::from_pem_slice(&bytes).ok()?;
        let (from, to) = validity(&certificate)?;
        // A third of its time is left for what may go wrong.
        let due = from + (to - from) / 3 * 2;
        let left = due.checked_sub(Clock::System.now().0)?;
        u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// What the file begins with.
    fn head(&self) -> String {
        format!("Of {} for {}\n", self.directory, self.domains.join(", "))
    }

    /// Asks for a certificate and keeps it.
    ///
    /// # Errors
    /// Why there is none, for people.
    async fn order(&self) -> Result<(), String> {
        RealDisk.create_dir_all(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let account = self.account().await?;
        let identifiers: Vec<Identifier> = self.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(told)?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(told)?;
            let name = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                other => return Err(format!("{name}: its authorization is {other:?}")),
            }
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge =
                challenge.ok_or_else(|| format!("{name}: the authority does not look by TLS-ALPN-01"))?;
            let config = challenge_config(&name, challenge.key_authorization().digest().as_ref())?;
            self.shown.lock().insert(name.to_ascii_lowercase(), Arc::new(config));
            challenge.set_ready().await.map_err(told)?;
        }
        let policy = RetryPolicy::default().timeout(limits::ACME_ORDER_TIME);
        if order.poll_ready(&policy).await.map_err(told)? != OrderStatus::Ready {
            return Err(refusals(&mut order).await);
        }
        let key = order.finalize().await.map_err(told)?;
        let chain = order.poll_certificate(&policy).await.map_err(told)?;
        let text = format!("{}{key}{chain}", self.head());
        let path = self.file();
        disk::replace_file(&RealDisk, &path, text.as_bytes())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        tracing::info!(domains = %self.domains.join(", "), "the authority has given a certificate");
        Ok(())
    }

    /// Who this server is to the authority, or comes to be.
    async fn account(&self) -> Result<Account, String> {
        let path = self.folder.join("account.json");
        let known = disk::read_all(&RealDisk, &path).ok();
        let known = known.and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
        let builder = Account::builder_with_http(Box::new(Http));
        if let Some(known) = known.filter(|known| known.directory == self.directory) {
            let credentials = serde_json::from_value(known.credentials).map_err(|error| error.to_string())?;
            return builder.from_credentials(credentials).await.map_err(told);
        }
        let contact: Vec<&str> = self.contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, self.directory.clone(), None).await.map_err(told)?;
        let credentials = serde_json::to_value(credentials).map_err(|error| error.to_string())?;
        let known = Known { directory: self.directory.clone(), credentials };
        let bytes = serde_json::to_vec(&known).map_err(|error| error.to_string())?;
        disk::replace_file(&RealDisk, &path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(account)
    }
}

/// What the authority says of the names that it does not find here.
async fn refusals(order: &mut instant_acme::Order) -> String {
    let mut all = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        all.extend(errors.map(|error| format!("{name}: {error}")));
    }
    if all.is_empty() { "the authority does not say why not".to_owned() } else { all.join("; ") }
}

fn told(error: instant_acme::Error) -> String {
    error.to_string()
}

/// What shows an authority that it has come to the right server.
fn challenge_config(name: &str, digest: &[u8]) -> Result<ServerConfig, String> {
    let bad = |error: rcgen::Error| format!("{name}: {error}");
    let no_tls = |error: rustls::Error| format!("{name}: {error}");
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(bad)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(bad)?;
    let certificate = params.self_signed(&key).map_err(bad)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(key.serialize_der()).into());
    // It holds what a certificate for clients must not: that is not looked at here.
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], key.map_err(no_tls)?));
    let mut config = builder(&provider).map_err(no_tls)?.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// From when until when a certificate is good, ms since 1970 (RFC 5280, section 4.1); `None` for what is none.
fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let time = |reader: BERReader<'_, '_>| -> ASN1Result<i64> {
        let time = if reader.lookahead_tag()? == TAG_UTCTIME {
            UTCTime::datetime(&reader.read_utctime()?).unix_timestamp()
        } else {
            GeneralizedTime::datetime(&reader.read_generalized_time()?).unix_timestamp()
        };
        Ok(time.saturating_mul(1_000))
    };
    let skipped = |reader: BERReader<'_, '_>| reader.read_der().map(drop);
    let signed = |reader: BERReader<'_, '_>| {
        reader.read_sequence(|fields| {
            fields.read_optional(|version| version.read_tagged(Tag::context(0), skipped))?;
            // The serial number, the algorithm, the issuer.
            for _ in 0..3 {
                skipped(fields.next())?;
            }
            let times = fields.next().read_sequence(|times| Ok((time(times.next())?, time(times.next())?)))?;
            while fields.read_optional(skipped)?.is_some() {}
            Ok(times)
        })
    };
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|parts| {
            let times = signed(parts.next())?;
            // The algorithm and the signature.
            skipped(parts.next())?;
            skipped(parts.next())?;
            Ok(times)
        })
    })
    .ok()
}

/// Requests to an authority, each over a connection of its own: there are a dozen in two months.
#[derive(Debug)]
struct Http;

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        Box::pin(async move {
            let answered = timeout(limits::ACME_ANSWER_TIME, answered(request)).await;
            let answered = answered.unwrap_or_else(|_| Err("the authority does not answer in time".to_owned()));
            answered.map_err(|why| instant_acme::Error::Other(why.into()))
        })
    }
}

async fn answered(mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, String> {
    let peer = Peer::new(&request.uri().to_string())?;
    let host = HeaderValue::try_from(peer.host()).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse();
    *request.uri_mut() = path.map_err(|error: axum::http::uri::InvalidUri| error.to_string())?;
    let mut answer = peer.open().await?.ask_once(request).await?;
    // A time that can't be waited for, nor reckoned with.
    let waits = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    if waits.is_none_or(|seconds| u64::from(seconds) > limits::ACME_PAUSE_MAX.as_secs()) {
        answer.headers_mut().remove(RETRY_AFTER);
    }
    Ok(BytesResponse::from(answer.map(|body| Limited::new(body, limits::ACME_ANSWER_BYTES_MAX))))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn acme(folder: &Path) -> Acme {
        let settings = Settings {
            data: folder.to_owned(),
            acme_domains: vec!["Pond.example".to_owned(), "www.pond.example".to_owned()],
            ..Settings::default()
        };
        Acme::of(&settings).expect("domains")
    }

    /// A certificate in its file that is good from so many seconds ago for so many.
    fn given(acme: &Acme, ago: i64, seconds: i64) {
        let mut params = CertificateParams::new(acme.domains.clone()).expect("names");
        let from = yasna::models::UTCTime::parse(b"700101000000Z").map(|time| *time.datetime()).expect("1970");
        let now = Clock::System.now().0 / 1_000;
        params.not_before = from + Duration::from_secs((now - ago).unsigned_abs());
        params.not_after = params.not_before + Duration::from_secs(seconds.unsigned_abs());
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::create_dir_all(&acme.folder).expect("a folder");
        let text = format!("{}{}{}", acme.head(), key.serialize_pem(), certificate.pem());
        std::fs::write(acme.file(), text).expect("a file");
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_time_is_left_or_the_names_are_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let acme = acme(folder.path());
        assert_eq!(acme.left(), None, "there is none");
        for (ago, left) in [(0, 60_000), (10_000, 50_000), (59_000, 1_000)] {
            given(&acme, ago, 90_000);
            let found = acme.left().expect("it is good").as_secs();
            // The clock goes on meanwhile.
            assert!((left - 100..=left).contains(&found), "{ago}: {found}");
        }
        for ago in [60_001, 90_000, 200_000] {
            given(&acme, ago, 90_000);
            assert_eq!(acme.left(), None, "{ago}");
        }
        given(&acme, 0, 900);
        let (cert, key) = (acme.file(), acme.file());
        let pair = super::super::Files { cert, key }.read().expect("chain and key are of one file");
        assert!(super::super::config(pair).is_ok());
        let one = Acme { domains: vec!["pond.example".to_owned()], ..acme };
        assert_eq!(one.left(), None, "it is for others");
    }

    #[test]
    fn a_time_is_read_from_whatever_is_a_certificate_and_nothing_else_ends_the_server() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kill/tls/leaf.pem");
        let certificate = CertificateDer::from_pem_file(file).expect("a certificate");
        let (from, to) = validity(&certificate).expect("its times");
        assert!(from < to);
        for end in 0..certificate.len() {
            assert_eq!(validity(&certificate[..end]), None, "{end}");
        }
        let mut bent = certificate.to_vec();
        for at in 0..bent.len() {
            bent[at] ^= 0x55;
            let _ = validity(&bent);
            bent[at] ^= 0x55;
        }
    }

    #[test]
    fn a_challenge_is_shown_by_its_name_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let acme = acme(folder.path());
        let config = challenge_config("pond.example", &[7; 32]).expect("a certificate");
        assert_eq!(config.alpn_protocols, [PROTOCOL]);
        acme.shown.lock().insert("pond.example".to_owned(), Arc::new(config));
        assert!(acme.shown(Some("pond.EXAMPLE")).is_some());
        assert!(acme.shown(Some("www.pond.example")).is_none() && acme.shown(None).is_none());
    }
}
