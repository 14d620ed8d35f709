/**
 * An envelope or sealed value cannot be opened: it was sealed for another context or with another key, or was changed.
 * It will never open. The message says which, and holds nothing of the content.
 */
export class EnvelopeRefused extends Error {
  override name = "EnvelopeRefused";
}
