export function FeedbackPage() {
  return <main class="page-main" id="main"><h1>Feedback</h1></main>;
}
