using System.CommandLine;
using InferenceServer.Training.Stages;

return await Commands.Build().Parse(args).InvokeAsync();
