import { useEffect, useState } from 'preact/hooks';
import type { Source } from './source.ts';

/** The report of what was exercised, a document of its own. */
export function ReportView({ source }: { readonly source: Source }) {
  const [address, setAddress] = useState<string>();
  useEffect(() => {
    void source.report().then(setAddress);
  }, [source]);
  return address ? <iframe src={address} title="What was exercised of the interface" sandbox="" /> : null;
}
