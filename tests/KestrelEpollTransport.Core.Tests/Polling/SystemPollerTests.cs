namespace KestrelEpollTransport.Tests.Polling;

// The suites of the contract on what the machine has: epoll, or a BSD's own kqueue.
public sealed class SystemPollerContractTests() : PollerContractTests(PollerBackend.System);

[Collection(RunsAlone.Name)]
public sealed class SystemPollerConcurrencyTests() : PollerConcurrencyTests(PollerBackend.System);
