/** The words that a piece of an answer adds, in whatever dialect; "" where it adds none. */
export function replyText(value: unknown): string {
  if (typeof value !== "object" || value === null)
    return "";
  const data = value as Record<string, any>;
  if (Array.isArray(data.choices))
    return data.choices.filter(choice => (choice.index ?? 0) === 0).map(choice => choice.delta?.content ?? choice.message?.content ?? choice.text ?? "").join("");
  if (data.type === "response.output_text.delta")
    return data.delta ?? "";
  if (data.type === "content_block_delta")
    return data.delta?.text ?? "";
  if (data.object === "response")
    return (data.output ?? []).flatMap((item: any) => item.type === "message" ? item.content : []).map((part: any) => part.text ?? "").join("");
  if (data.type === "message")
    return (data.content ?? []).map((block: any) => block.text ?? "").join("");
  if (typeof data.message?.content === "string")
    return data.message.content;
  return typeof data.response === "string" ? data.response : "";
}
