export const severities = ['critical', 'high', 'medium', 'low'] as const;
export type SeverityName = (typeof severities)[number];
