#include "server/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "server/http/listen_addresses.h"
#include "server/http/listener.h"
#include "server/openai/routes.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr size_t kWorkers = 2;
constexpr size_t kFormatters = 2;

/// How often a drain looks whether the last answer has gone out.
constexpr milliseconds kDrainPoll{10};

/// For clients to read the error that ends their answer.
constexpr milliseconds kAbortGrace{2000};

Result<ApiKeys> read_keys(const ServerOptions& options) {
  return options.api_key_file.empty() ? ApiKeys() : ApiKeys::read(options.api_key_file);
}

class HttpServer final : public Server {
 public:
  HttpServer(ServerOptions options, std::shared_ptr<ServedModels> models, ApiKeys keys)
      : options_(std::move(options)), router_(std::move(keys), CorsPolicy(options_.cors_origins)) {
    add_routes(router_, std::move(models), options_, counters_);
  }

  ~HttpServer() override {
    on_io_thread([this] {
      listener_.stop();
      for (const auto& connection : listener_.connections()) connection->close_now();
    });
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> listen() {
    if (Result<void> listening = listener_.listen(); !listening) return listening;
    listener_.start();
    thread_ = std::thread([this] { io_.run(); });
    return {};
  }

  uint16_t port() const override { return listener_.endpoints().front().port(); }

  std::string url() const override { return url_of(listener_.endpoints().front()); }
  std::string addresses() const override { return describe_endpoints(listener_.endpoints()); }

  Result<void> reload_keys() override {
    Result<ApiKeys> keys = read_keys(options_);
    if (!keys) return pass_on(keys);
    router_.set_keys(*std::move(keys));
    return {};
  }

  bool drain(milliseconds timeout) override {
    on_io_thread([this] {
      listener_.stop();
      context_.draining = true;
      for (const auto& connection : snapshot()) connection->drain();
    });
    const bool finished = wait_until_idle(timeout, true);
    if (!finished) {
      on_io_thread([this] {
        for (const auto& connection : snapshot()) connection->abort();
      });
      wait_until_idle(kAbortGrace, false);
    }
    on_io_thread([this] {
      for (const auto& connection : snapshot()) connection->close_now();
    });
    return finished;
  }

  void stop_draining() override {
    std::lock_guard lock(mutex_);
    stop_draining_ = true;
    stop_draining_changed_.notify_all();
  }

 private:
  std::vector<std::shared_ptr<Connection>> snapshot() const {
    return {listener_.connections().begin(), listener_.connections().end()};
  }

  /// Runs `f` there and waits for it; at once if the thread was never started.
  template <class F>
  void on_io_thread(F f) {
    if (!thread_.joinable()) return f();
    std::promise<void> done;
    asio::post(io_, [&] {
      f();
      done.set_value();
    });
    done.get_future().wait();
  }

  bool wait_until_idle(milliseconds timeout, bool may_be_stopped) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    std::unique_lock lock(mutex_);
    for (;;) {
      lock.unlock();
      bool idle = false;
      on_io_thread([&] { idle = context_.busy_connections == 0; });
      if (idle) return true;
      lock.lock();
      if (may_be_stopped && stop_draining_) return false;
      if (std::chrono::steady_clock::now() >= deadline) return false;
      stop_draining_changed_.wait_for(lock, kDrainPoll);
    }
  }

  const ServerOptions options_;
  RequestCounters counters_;
  Router router_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::thread_pool workers_{kWorkers};
  asio::thread_pool formatters_{kFormatters};
  ConnectionContext context_{
      .workers = workers_, .formatters = formatters_, .router = router_, .options = options_, .counters = counters_};
  Listener listener_{io_, context_};
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable stop_draining_changed_;
  bool stop_draining_ = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, std::shared_ptr<ServedModels> models) {
  Result<ApiKeys> keys = read_keys(options);
  if (!keys) return pass_on(keys);
  try {
    auto server = std::make_unique<HttpServer>(std::move(options), std::move(models), *std::move(keys));
    if (Result<void> listening = server->listen(); !listening) return pass_on(listening);
    return server;
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal, fmt::format("cannot start the server: {}", error.what()));
  }
}

}  // namespace hearth
