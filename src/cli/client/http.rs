//! HTTP client for requests to a running server.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use clap::ArgMatches;
use serde::Deserialize;
use ureq::http::Response;
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, BodyReader, RequestBuilder};

use super::lines::read_line;
use crate::cli::arguments::text;
use crate::config::environment;
use crate::escape;
use crate::failure::Failure;
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWER_SECONDS_MAX, CONNECT_SECONDS_MAX, PROBLEM_BYTES_MAX, TAIL_SILENCE_SECONDS_MAX,
};

const DEFAULT_URL: &str = "http://127.0.0.1:9022";

/// A server that requests are sent to.
pub(crate) struct ApiClient {
    agent: Agent,
    url: String,
}

/// The body with which a server reports a problem.
#[derive(Deserialize)]
struct ErrorBody {
    title: String,
    #[serde(default)]
    detail: String,
    hint: Option<String>,
}

impl ApiClient {
    /// Returns a client for the server of `--url`, else of the environment, else the server on this
    /// machine.
    pub(crate) fn new(matches: &ArgMatches) -> Result<ApiClient, Failure> {
        let variable = || std::env::var(environment::URL).ok().filter(|url| !url.is_empty());
        let url = text(matches, "url").map(str::to_owned).or_else(variable);
        ApiClient::to(url.as_deref().unwrap_or(DEFAULT_URL))
    }

    /// Returns a client for the server of this URL; `http://` may be omitted.
    pub(crate) fn to(url: &str) -> Result<ApiClient, Failure> {
        let url = url.trim_end_matches('/');
        if url.starts_with("https://") {
            return Err(Failure::usage(format!("cannot use {url}"))
                .because("this version supports only HTTP without TLS")
                .hint("use http://, through an SSH tunnel if the network is not yours"));
        }
        let url = if url.contains("://") { url.into() } else { format!("http://{url}") };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A log server is near; its answers must not pass through a proxy that the user did not
            // request.
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(CONNECT_SECONDS_MAX)))
            .timeout_recv_response(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))
            .timeout_per_read(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))
            .user_agent(concat!("logboom/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(ApiClient { agent: config.new_agent(), url })
    }

    /// Gets a path with these parameters. The answer is a stream.
    pub(crate) fn get(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        accept: &str,
    ) -> Result<ServerResponse, Failure> {
        self.answer(self.request(path, parameters, accept).call())
    }

    /// Follows a stream of server-sent events, on which something arrives at least every few
    /// seconds.
    pub(crate) fn follow(
        &self,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<ServerResponse, Failure> {
        let request = self.request(path, parameters, "text/event-stream");
        let silence_max = Duration::from_secs(TAIL_SILENCE_SECONDS_MAX);
        self.answer(request.config().timeout_per_read(Some(silence_max)).build().call())
    }

    /// Posts JSON to a path.
    pub(crate) fn post(&self, path: &str, json: &[u8]) -> Result<ServerResponse, Failure> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("Accept", "application/json");
        self.answer(request.header("Content-Type", "application/json").send(json))
    }

    /// Posts a body, and returns the reply whatever its status.
    pub(crate) fn send(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Reply, Failure> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("Content-Type", content_type);
        let response = request.send(body).map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = self.body(response).all()?;
        Ok(Reply { status, retry_after, body })
    }

    fn request(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        accept: &str,
    ) -> RequestBuilder<WithoutBody> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("Accept", accept);
        request.query_pairs(parameters.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn answer(&self, result: Result<Response<Body>, ureq::Error>) -> Result<ServerResponse, Failure> {
        let response = result.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let answer = self.body(response);
        if status.is_success() { Ok(answer) } else { Err(answer.problem(status.as_u16())) }
    }

    fn body(&self, response: Response<Body>) -> ServerResponse {
        ServerResponse { url: self.url.clone(), reader: BufReader::new(response.into_body().into_reader()) }
    }

    fn unreachable(&self, error: ureq::Error) -> Failure {
        let usage = matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_));
        let what = format!("cannot reach {}", self.url);
        if usage {
            return Failure::usage(what)
                .because(error)
                .hint(format!("--url takes for example {DEFAULT_URL}"));
        }
        let is_unreachable = match &error {
            ureq::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            ureq::Error::ConnectionFailed | ureq::Error::HostNotFound | ureq::Error::Timeout(_) => true,
            _ => false,
        };
        let hint = is_unreachable.then(|| "is `logboom serve` running? --url names another server".into());
        let failure = match error {
            ureq::Error::Io(error) => Failure::new(what).because(error),
            error => Failure::new(what).because(error),
        };
        failure.hint_if(hint)
    }
}

/// A reply of any status, successful or not.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Seconds after which the server wants the request to be repeated.
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// The body of a successful answer.
pub(crate) struct ServerResponse {
    url: String,
    reader: BufReader<BodyReader<'static>>,
}

impl ServerResponse {
    /// Reads the next line into `line`, without its end; returns false at the end of the answer.
    pub(crate) fn next_line(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
        read_line(&mut self.reader, line).map_err(|error| broken(&self.url).because(error))
    }

    /// Returns the part of the remaining body that has already arrived.
    pub(crate) fn arrived(&self) -> &[u8] {
        self.reader.buffer()
    }

    /// Reads the whole body.
    pub(crate) fn all(mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let mut bounded = (&mut self.reader).take(ANSWER_BYTES_MAX + 1);
        bounded.read_to_end(&mut body).map_err(|error| broken(&self.url).because(error))?;
        if body.len() as u64 > ANSWER_BYTES_MAX {
            return Err(broken(&self.url).because(format!("it is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        Ok(body)
    }

    /// Returns the failure that the server reports with an answer of this status.
    fn problem(self, status: u16) -> Failure {
        let mut body = Vec::new();
        // If the connection breaks, the part of the body that was read until then is reported.
        let _ = self.reader.take(PROBLEM_BYTES_MAX).read_to_end(&mut body);
        let failure = if status == 400 { Failure::usage } else { Failure::new };
        let (failure, why) = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { title, detail, hint }) => {
                let hint = hint.map(|hint| escape::lines(&hint).into_owned());
                let failure = failure(escape::one_line(&title).into_owned()).hint_if(hint);
                (failure, escape::lines(&detail).into_owned())
            }
            Err(_) => {
                let body = String::from_utf8_lossy(&body);
                let failure = failure(format!("{} answered with status {status}", self.url))
                    .hint("check that it is a logboom server; --url selects another");
                (failure, escape::one_line(body.lines().next().unwrap_or_default()).into_owned())
            }
        };
        if why.is_empty() { failure } else { failure.because(why) }
    }
}

/// Returns the failure for an answer that cannot be read to its end.
fn broken(url: &str) -> Failure {
    Failure::new(format!("cannot read the response of {url}"))
}

/// Parses JSON of a response; fails if it is not of the expected form.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|error| {
        Failure::new("cannot read the server's response: it is not valid")
            .because(error)
            .hint("check that it is a logboom server of this version; --url selects another")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::stub_server::StubServer;

    fn problem(status: &str, body: &str) -> String {
        let server = StubServer::start(status, body);
        let client = ApiClient::to(&server.url).unwrap();
        let Err(failure) = client.get("/api/v1/status", &[], "application/json") else {
            panic!("it must fail")
        };
        failure.to_string().replace(&server.url, "URL")
    }

    #[test]
    fn problem_of_server_is_reported_with_its_hint() {
        let body = r#"{"title":"cannot read the query","detail":"unbalanced \u001b(","hint":"close it"}"#;
        assert_eq!(
            problem("400 Bad Request", body),
            "error: cannot read the query: unbalanced \\x1b(\nhint: close it"
        );
        let other = "error: URL answered with status 502: bad\\x07 gateway\nhint: check that it is a logboom server; --url selects another";
        assert_eq!(problem("502 Bad Gateway", "bad\x07 gateway\nmore"), other);
    }

    #[test]
    fn bad_request_is_a_usage_error() {
        for (status, code) in [("400 Bad Request", 2), ("503 Service Unavailable", 1)] {
            let server = StubServer::start(status, r#"{"title":"x"}"#);
            let failure = ApiClient::to(&server.url).unwrap().post("/api/v1/sql", b"{}").err().unwrap();
            assert_eq!(failure.exit_code(), std::process::ExitCode::from(code));
        }
    }

    #[test]
    fn refused_connection_is_reported_with_hint() {
        // Bound, so that no other process gets the port, but not listening.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let client = ApiClient::to(&address.to_string()).unwrap();
        let failure = client.get("/", &[], "*/*").err().unwrap().to_string();
        assert!(failure.starts_with(&format!("error: cannot reach http://{address}: ")), "{failure}");
        assert!(
            failure.contains("refused") && failure.contains("hint: is `logboom serve` running?"),
            "{failure}"
        );
    }

    #[test]
    fn invalid_urls_are_rejected() {
        assert!(ApiClient::to("https://logs.example").err().unwrap().to_string().contains("without TLS"));
        let failure = ApiClient::to("http://a b/").unwrap().get("/", &[], "*/*").err().unwrap();
        assert_eq!(failure.exit_code(), std::process::ExitCode::from(2));
    }

    #[test]
    fn truncated_answer_is_a_failure() {
        let server = StubServer::start_raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":1}\nrest");
        let mut answer = ApiClient::to(&server.url).unwrap().get("/", &[], "*/*").unwrap();
        let mut line = Vec::new();
        assert!(answer.next_line(&mut line).unwrap());
        assert_eq!(line, b"{\"id\":1}");
        assert!(
            answer
                .next_line(&mut line)
                .unwrap_err()
                .to_string()
                .starts_with("error: cannot read the response of ")
        );
    }
}
