// A process of its own: what a unary Authenticate costs in C++ when it decides nothing. It uses grpc++ in its cheapest
// way, the completion-queue API with one queue and one thread. Prints one line of JSON when it listens on a free loopback
// port, and ends with its input.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "latchkey/v1/authentication.grpc.pb.h"

namespace {

using latchkey::v1::AuthenticateRequest;
using latchkey::v1::AuthenticateResponse;
using latchkey::v1::AuthenticationService;
using Service = AuthenticationService::WithAsyncMethod_Authenticate<AuthenticationService::Service>;

// Calls that wait for a client: more than one ever has open here.
constexpr int kReady = 256;

// One call at a time, again and again.
class Call {
 public:
  Call(Service* service, grpc::ServerCompletionQueue* queue) : service_(service), queue_(queue) { Wait(); }

  // The queue has something for this call: a question, or that its answer is out.
  void Proceed(bool ok) {
    if (answering_) {
      Wait();
    } else if (ok) {
      answering_ = true;
      responder_->Finish(response_, grpc::Status::OK, this);
    }
  }

 private:
  void Wait() {
    answering_ = false;
    responder_.reset();
    context_ = std::make_unique<grpc::ServerContext>();
    responder_ = std::make_unique<grpc::ServerAsyncResponseWriter<AuthenticateResponse>>(context_.get());
    request_.Clear();
    service_->RequestAuthenticate(context_.get(), &request_, responder_.get(), queue_, queue_, this);
  }

  Service* service_;
  grpc::ServerCompletionQueue* queue_;
  std::unique_ptr<grpc::ServerContext> context_;
  std::unique_ptr<grpc::ServerAsyncResponseWriter<AuthenticateResponse>> responder_;
  AuthenticateRequest request_;
  AuthenticateResponse response_;
  bool answering_ = false;
};

}  // namespace

int main() {
  Service service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) return 1;
  std::vector<std::unique_ptr<Call>> calls;
  for (int index = 0; index < kReady; ++index) calls.push_back(std::make_unique<Call>(&service, queue.get()));
  std::thread([] {
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
    _exit(0);
  }).detach();
  std::printf("{\"event\":\"ready\",\"grpc\":\"127.0.0.1:%d\"}\n", port);
  std::fflush(stdout);
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Call*>(tag)->Proceed(ok);
  return 0;
}
