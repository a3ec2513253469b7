using System.Diagnostics;

namespace KestrelEpollTransport.Connections;

/// <content>How long its requests wait, and where.</content>
internal sealed partial class EpollConnection : IRequestQueue
{
    public TimeSpan Delay => Stopwatch.GetElapsedTime(0, _dispatch.Delay + ApplicationContext.WaitHere(_applicationContext));

    public int Queue => ApplicationContext.WaitHere(_applicationContext) > _dispatch.Delay ? ApplicationContext.QueueHere : _dispatch.Queue;

    public long? Pass => Queue >= IRequestQueue.FirstLoop ? Loop.Pass : null;

    public void OnRefused()
    {
        if (_dispatch.IsMine)
        {
            _dispatch.TeachNothing();
        }
        else
        {
            ApplicationContext.TeachNothingHere(_applicationContext);
        }
    }
}
