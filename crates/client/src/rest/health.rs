//! Health, statistics and meta.

use regatta_api::health::{Health, HealthDetailed, Probe};
use regatta_api::stats::Stats;
use reqwest::{Method, StatusCode};

use crate::transport::problem;
use crate::{Client, Error, Result};

impl Client {
    /// How the platform is. An unhealthy platform is an answer too.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn health(&self) -> Result<Health> {
        self.probe_answer("/health").await
    }

    /// Whether the process runs.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn health_live(&self) -> Result<Probe> {
        self.probe_answer("/health/live").await
    }

    /// Whether the node can serve. A node that cannot is an answer too.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn health_ready(&self) -> Result<Probe> {
        self.probe_answer("/health/ready").await
    }

    /// Everything about the node's parts.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn health_detailed(&self) -> Result<HealthDetailed> {
        self.call(Method::GET, "/health/detailed").send().await
    }

    /// What an overview needs.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stats(&self) -> Result<Stats> {
        self.call(Method::GET, "/stats").send().await
    }

    /// The Prometheus text.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn metrics(&self) -> Result<String> {
        let answer = self.call_root(Method::GET, "/metrics").answer().await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// The OpenAPI document.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn openapi(&self) -> Result<serde_json::Value> {
        self.call_root(Method::GET, "/openapi.json").send().await
    }

    /// A health answer: a 503 that says how the platform is, is not repeated and no error.
    async fn probe_answer<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.call(Method::GET, path).once().any_answer().await?;
        let says = answer.status.is_success() || answer.status == StatusCode::SERVICE_UNAVAILABLE;
        match serde_json::from_slice(&answer.body) {
            Ok(health) if says => Ok(health),
            Err(error) if answer.status.is_success() => {
                Err(Error::Protocol(format!("the answer to GET {path} cannot be read: {error}")))
            }
            _ => Err(Error::Problem(Box::new(problem(answer.status, &answer.body)))),
        }
    }
}
