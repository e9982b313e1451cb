export function PlaygroundPage() {
  return <main class="page-main" id="main"><h1>Playground</h1></main>;
}
