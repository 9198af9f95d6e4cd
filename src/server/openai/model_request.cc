#include "server/openai/model_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include "base/printable.h"
#include "server/model_state.h"
#include "server/openai/endpoint.h"
#include "server/openai/fields.h"

namespace hearth {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// A request of this size is handled where it is: some milliseconds of tokenising at most.
constexpr size_t kShortBodyBytes = 4096;

ApiError not_ready(const ServedModel& model) {
  const ServedModel::State state = model.state();
  ApiError error{.status = 503, .type = "server_error"};
  if (const auto* failure = std::get_if<Error>(&state)) {
    error.message = fmt::format("The model could not be loaded: {}", to_string(*failure));
    error.code = "model_failed";
    return error;
  }
  const auto* status = std::get_if<LoadStatus>(&state);
  error.message = status == nullptr ? std::string("The model is not loaded, or no longer")
                                    : fmt::format("The model is being loaded: {}, {:.0f} %; see /health",
                                                  status->progress.stage, 100 * status->progress.fraction());
  error.code = status == nullptr ? "model_unloaded" : "model_loading";
  error.retry_after_seconds = retry_after_seconds(state);
  return error;
}

/// The seconds of "Prefer: respond-async, wait=10".
std::optional<unsigned> preferred_wait(const HttpRequest& request) {
  std::string_view prefer = request.header("Prefer");
  while (!prefer.empty()) {
    std::string_view preference = prefer.substr(0, prefer.find(','));
    prefer.remove_prefix(std::min(prefer.size(), preference.size() + 1));
    preference.remove_prefix(std::min(preference.find_first_not_of(" \t"), preference.size()));
    constexpr std::string_view kWait = "wait=";
    if (!preference.starts_with(kWait)) continue;
    preference.remove_prefix(kWait.size());
    unsigned seconds = 0;
    const auto [end, error] = std::from_chars(preference.data(), preference.data() + preference.size(), seconds);
    if (error == std::errc()) return seconds;
  }
  return std::nullopt;
}

milliseconds longest_wait(const ServerOptions& options, const HttpRequest& request) {
  const std::optional<unsigned> preferred = preferred_wait(request);
  if (!preferred) return options.load_wait;
  return std::min(options.load_wait, milliseconds(std::chrono::seconds(*preferred)));
}

HttpRequest head_of(const HttpRequest& request) {
  return {.id = request.id,
          .method = request.method,
          .path = request.path,
          .headers = request.headers,
          .body = {},
          .received = request.received,
          .user = request.user};
}

/// Waits until the model is ready, then is the answer to the request.
class WaitingReply final : public PendingReply {
 public:
  WaitingReply(std::shared_ptr<ServedModel> model, ServedModel::Claim claim, const HttpRequest& request,
               nlohmann::json body, ModelHandler handler, steady_clock::time_point until)
      : model_(std::move(model)),
        claim_(std::move(claim)),
        body_bytes_(request.body.size()),
        http_(head_of(request)),
        body_(std::move(body)),
        handler_(std::move(handler)),
        until_(until) {
    wants_events_ = body_.is_object() && body_.value("stream", nlohmann::json()) == true;
  }

  void start(std::function<void()> wake) override {
    wake_ = std::move(wake);
    observation_.emplace(model_->observe(wake_));
  }

  ReplyPart take() override {
    if (!answer_) try_to_begin();
    if (!answer_) return {};
    if (auto* response = std::get_if<HttpResponse>(&*answer_)) return {.response = *response};
    return pending()->take();
  }

  bool take_is_long() const override {
    if (answer_) return pending() != nullptr && pending()->take_is_long();
    return body_bytes_ > kShortBodyBytes && model_->ready() != nullptr;
  }

  ReplyPart abandon(const Error& why) override {
    if (pending() != nullptr) return pending()->abandon(why);
    return {.response = to_response(to_api_error(why))};
  }

  bool is_event_stream() const override { return pending() != nullptr ? pending()->is_event_stream() : wants_events_; }
  bool is_overflowing() const override { return begun_ && pending()->is_overflowing(); }
  ReplyStatistics statistics() const override {
    return pending() != nullptr ? pending()->statistics() : ReplyStatistics{};
  }
  std::optional<steady_clock::time_point> wakes_at() const override {
    return answer_ ? std::nullopt : std::optional(until_);
  }

 private:
  PendingReply* pending() const {
    return answer_ && std::holds_alternative<std::unique_ptr<PendingReply>>(*answer_)
               ? std::get<std::unique_ptr<PendingReply>>(*answer_).get()
               : nullptr;
  }

  void try_to_begin() {
    if (ModelLease lease = model_->lease_for_request()) {
      answer_ = handler_({.served = model_, .model = std::move(lease), .http = http_, .body = body_});
      body_ = nullptr;
    } else if (!std::holds_alternative<LoadStatus>(model_->state()) || steady_clock::now() >= until_) {
      answer_ = to_response(not_ready(*model_));
    } else {
      return;
    }
    claim_.reset();
    observation_.reset();
    if (pending() != nullptr) {
      pending()->start(wake_);
      begun_ = true;
    }
  }

  const std::shared_ptr<ServedModel> model_;
  std::optional<ServedModel::Claim> claim_;
  std::optional<ServedModel::Observation> observation_;
  const size_t body_bytes_;
  const HttpRequest http_;  ///< without its body
  nlohmann::json body_;
  const ModelHandler handler_;
  const steady_clock::time_point until_;
  bool wants_events_ = false;
  std::function<void()> wake_;
  std::optional<Reply> answer_;
  std::atomic<bool> begun_ = false;  ///< read by is_overflowing beside a take() on another thread
};

ApiResult<std::shared_ptr<ServedModel>> find_model(const ServedModels& models, const nlohmann::json& body) {
  std::string name;
  Fields fields(body);
  fields.read("model", name);
  if (fields.error()) return std::unexpected(*fields.error());
  auto model = models.find(name);
  if (model == nullptr) return std::unexpected(unknown_model(models, name));
  return model;
}

/// Seconds are left for a load that will take longer than the client wants to wait.
bool will_be_late(const ServedModel& model, milliseconds wait) {
  const ServedModel::State state = model.state();
  const auto* status = std::get_if<LoadStatus>(&state);
  return status != nullptr && status->seconds_left &&
         milliseconds(static_cast<int64_t>(*status->seconds_left * 1000)) > wait;
}

}  // namespace

Reply answer_for_model(const ServedModels& models, const ServerOptions& options, const HttpRequest& request,
                       const ModelHandler& handler) {
  auto body = parse_body(request);
  if (!body) return to_response(body.error());
  const auto found = find_model(models, *body);
  if (!found) return to_response(found.error());
  const std::shared_ptr<ServedModel>& model = *found;
  const milliseconds wait = longest_wait(options, request);
  if (ModelLease lease = model->lease_for_request(); lease && !will_be_late(*model, wait)) {
    return handler({.served = model, .model = std::move(lease), .http = request, .body = *body});
  }
  auto claim = model->claim(request.body.size());
  if (models.loader() != nullptr) models.loader()->want(*model);
  if (!claim || wait.count() == 0 || will_be_late(*model, wait)) return to_response(not_ready(*model));
  return std::make_unique<WaitingReply>(model, *std::move(claim), request, *std::move(body), handler,
                                        request.received + wait);
}

}  // namespace hearth
