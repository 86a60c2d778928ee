"""Sentence frames as hurried clinicians write them, beside those of clinic.py: {} stands for the findings, N for a small number."""
def lines(text):
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


SYMPTOM = lines("""
On admission {}.
At presentation {}.
On arrival {}.
Main issue {}.
Main problem: {}.
Aware of {}.
{she} is aware of {}.
Noticed {}.
{she} noticed {}.
{she} has noticed {}.
Has noticed {}.
Bothered by {}.
{she} is bothered by {}.
Struggling with {}.
{she} is struggling with {}.
Phoned about {}.
Rang the surgery about {}.
Called about {}.
Telephone call: {}.
Video call: {}.
Attended with {}.
Attending with {}.
Came because of {}.
Came today because of {}.
{she} came to the clinic because of {}.
Worried about {}.
Presenting complaint {}.
PC: {}.
HPC: {}.
HPI: {}.
CC: {}.
Walked in with {}.
Self-referred with {}.
Sent in by the GP with {}.
Referred by the GP with {}.
Transferred with {}.
Readmitted with {}.
Presented to the ED with {}.
Presented to A&E with {}.
Seen in A&E with {}.
Ongoing issues with {}.
Still {}.
Still has {}.
Still getting {}.
Gets {}.
{she} gets {}.
Getting {}.
{she} has been getting {}.
{she} keeps getting {}.
Keeps having {}.
Episodes of {}.
Further {}.
Increasingly bad {}.
Developed {}.
Has developed {}.
Since developed {}.
Overnight {}.
This morning {}.
Yesterday {}.
{} this morning.
{} overnight.
{} on arrival.
{} on admission.
{} on examination.
O/E {}.
Examination: {}.
Exam: {}.
Mum reports {}.
Mother reports {}.
Wife reports {}.
Carer reports {}.
Staff report {}.
Parents describe {}.
According to his wife {}.
Says {she} has {}.
Feeling {}.
Describes {}.
Describing {}.
Experiences {}.
{she} has experienced {}.
Subjectively {}.
Positive for {}.
ROS positive for {}.
Review of systems: {}.
Young man with {}.
Elderly lady with {}.
Baby with {}.
Toddler with {}.
Teenager with {}.
{who}, {}.
{who}: {}.
{who} in with {}.
{who} brought in with {}.
{who} seen with {}.
{who} attends with {}.
{who} who has had {}.
{who} referred with {}.
{} and not settling.
{} not settling.
{}, ongoing.
{} remains.
{} still present.
{} recurred.
{} is back.
{} started.
Main concern is {}.
Also {}.
Also has {}.
Also reports {}.
Now also {}.
Plus {}.
""")
ABSENT = lines("""
Nil {}.
No obvious {}.
No associated {}.
No further {}.
No new {}.
No recent {}.
Never had {}.
{she} has never had {}.
Has never had {}.
Not had {}.
No {} at all.
No {} so far.
No {} today.
No {} overnight.
No {} on direct questioning.
No {} seen.
No {} noted.
No {} since.
No {} before.
No {} now.
Denied {}.
Denied any {}.
Denying {}.
Neg for {}.
{she} is not aware of {}.
Not aware of {}.
Not aware of any {}.
Not troubled by {}.
Not bothered by {}.
Has not noticed {}.
{she} has not noticed any {}.
Did not have {}.
{she} did not have any {}.
Free of {}.
{she} is free of {}.
ROS negative for {}.
Otherwise no {}.
Importantly no {}.
Specifically no {}.
Still no {}.
Mum denies {}.
Parents report no {}.
Wife says no {}.
On examination no {}.
O/E no {}.
Exam: no {}.
{she} reports no {}.
Reports no {}.
Reported no {}.
Describes no {}.
Absent {}.
Not experiencing {}.
Hasn't had {}.
Doesn't have {}.
Didn't have any {}.
""")
VITAL = lines("""
Obs {}.
Observations: {}.
Vitals {}.
Vital signs: {}.
V/S: {}.
NEWS obs: {}.
Triage: {}.
At triage {}.
Nurse recorded {}.
On admission {}.
Now {}.
Repeat {}.
Repeat obs: {}.
Latest {}.
Last recorded {}.
This morning {}.
Home readings: {}.
Recorded {}.
Exam: {}.
Noted {}.
{} today.
{} in clinic.
{} on arrival.
{} at home.
{} on repeat.
{} when checked.
{} at triage.
{} overnight.
""")
LAB = lines("""
Bloods {}.
Bloods show {}.
Bloods showed {}.
Bloods today: {}.
Results: {}.
Results back: {}.
Result: {}.
Latest bloods: {}.
Admission bloods: {}.
Repeat {}.
Repeat bloods: {}.
Biochemistry: {}.
Investigations: {}.
Ix: {}.
On bloods {}.
Pathology rang with {}.
Lab phoned: {}.
Labs notable for {}.
Labs showed {}.
Blood test: {}.
{} on bloods.
{} today.
{} this morning.
{} on admission.
{} on repeat.
""")
DIAGNOSIS = lines("""
Treating as {}.
Treat as {}.
Treated as {}.
Working diagnosis {}.
Working diagnosis: {}.
Imp: {}.
Imp {}.
Δ {}.
A: {}.
In keeping with {}.
Picture in keeping with {}.
Features of {}.
Typical {}.
Typical of {}.
Fits with {}.
All consistent with {}.
Clinical picture consistent with {}.
Now diagnosed with {}.
Newly diagnosed {}.
New {}.
Confirmed {}.
{} confirmed today.
{} was confirmed.
{} diagnosed.
{} diagnosed today.
{} on examination.
This is {}.
Has {}.
Admitted under medicine with {}.
Admitted with {}.
Final diagnosis {}.
Discharge diagnosis: {}.
Primary diagnosis {}.
Told {she} has {}.
Found to have {}.
Exacerbation again: {}.
Explained the diagnosis of {}.
Symptoms due to {}.
Secondary to {}.
Suggestive of {}.
Has developed {}.
{she} has developed {}.
Problem: {}.
Issue: {}.
""")
HEDGES = {
    "likely": lines("""
Looks like {}.
This looks like {}.
Sounds like {}.
Likely to be {}.
Likely to have {}.
Thought likely to be {}.
Impression likely {}.
Imp: likely {}.
{} likely.
{} most likely.
{} seems likely.
{} is likely.
Very likely {}.
"""),
    "suspected": lines("""
Suspect {}.
We suspect {}.
I suspect {}.
GP suspects {}.
High suspicion of {}.
Suspicion of {}.
Suspicious for {}.
{} is suspected clinically.
Sent in with suspected {}.
Clinically suspected {}.
"""),
    "probable": lines("""
Probably {}.
This is probably {}.
{} probably.
Probably has {}.
{she} probably has {}.
Imp: probable {}.
Probably due to {}.
A probable {}.
"""),
    "possible": lines("""
?{}.
? {}.
?{}
Could be {}.
This could be {}.
May be {}.
May have {}.
Might be {}.
Possibly {}.
Imp: possible {}.
Query {}.
Query possible {}.
Impression: ?{}.
{} possible.
{} cannot be excluded.
Perhaps {}.
Cannot rule out {}.
"""),
}
HISTORY = lines("""
Known to have {}.
Known with {}.
PMH {}.
PMH of {}.
PMHx: {}.
Hx {}.
Hx: {}.
h/o {}.
H/o {}.
Background {}.
Background: {}.
Background of {}.
On a background of {}.
B/G {}.
Past history of {}.
Prior {}.
Prior history of {}.
Previous {}.
Previous history of {}.
Pre-existing {}.
Significant history: {}.
Medical problems: {}.
Problem list: {}.
Long history of {}.
Longstanding history of {}.
Well-known {}.
Diagnosed previously with {}.
{who}, known {}.
{who}, background of {}.
{who} known to have {}.
{who} PMH {}.
{she} has had {}.
{she} suffers from {}.
Has had {} before.
Had {} as a child.
Under follow-up for {}.
Under the hospital for {}.
Sees the specialist for {}.
""")
STARTED = lines("""
Start {}.
Starting {}.
Starts {}.
To have {}.
Trial of {}.
Trying {}.
Agreed to try {}.
{she} agreed to try {}.
Will try {}.
Happy to try {}.
Add {}.
Added {}.
Adding {}.
Added in {}.
{} added.
{} commenced.
{} initiated.
{} issued.
Issued {}.
Script for {}.
Prescription for {}.
Script given for {}.
Px {}.
Tx: {}.
Rx {}.
Rx with {}.
Treat with {}.
Treatment: {}.
Plan {}.
P: {}.
Plan is {}.
Covered with {}.
Loaded with {}.
Stat {}.
{} stat.
{} given stat.
{} given in ED.
Received {}.
Had {} in the ambulance.
Discharged with {}.
Home with {}.
Home on {}.
TTOs: {}.
Going home on {}.
Recommended {}.
Suggest {}.
Advised {}.
For {}.
Now for {}.
Now started on {}.
Newly on {}.
Was given {}.
We gave {}.
We have started {}.
I have started {}.
I prescribed {}.
""")
TAKES = lines("""
DH: {}.
DHx {}.
Drug history: {}.
Drugs: {}.
Current meds: {}.
Medication: {}.
Medication {}.
Repeat medication: {}.
On repeat: {}.
Usually takes {}.
{she} usually takes {}.
Normally takes {}.
Regularly takes {}.
Remains on {}.
Still on {}.
Still taking {}.
Stays on {}.
To stay on {}.
Carry on with {}.
Carry on {}.
Continuing {}.
To continue {}.
To keep taking {}.
Keep on {}.
{} to continue.
{} continues.
Stable on {}.
Managing with {}.
Controlled with {}.
Controlled on {}.
Well controlled on {}.
Taking {} at home.
Using {}.
{she} has been using {}.
Has been on {}.
{she} has been on {}.
Established on {}.
Maintenance {}.
""")
STOPPED = lines("""
{} stopped.
{} stopped today.
{} was stopped.
{} has been stopped.
Stopped {}.
Stopped {} today.
Stop {}.
To stop {}.
Stopping {}.
We stopped {}.
{she} stopped {}.
{she} has stopped {}.
{she} stopped taking {}.
Stopped taking {}.
Has stopped {}.
Discontinued {}.
{} discontinued.
{} was discontinued.
Advised to stop {}.
Told to stop {}.
Plan: stop {}.
{} stopped because of side effects.
{} stopped on admission.
Came off {}.
Off {} now.
No longer on {}.
No longer takes {}.
""")
ALLERGY = lines("""
Allergic to {}.
Allergic to {}.
{she} is allergic to {}.
Allergies: {}.
Allergies {}.
Allergy: {}.
Allergy to {}.
Known allergy to {}.
Has an allergy to {}.
Known to be allergic to {}.
NB allergic to {}.
Note: allergic to {}.
{who}, allergic to {}.
""")
PLANNED = lines("""
Listed for {}.
Listed for {}.
{she} is listed for {}.
Booked for {}.
Booked in for {}.
{} booked.
{} planned.
{} arranged.
Planned for {}.
Planned {}.
Plan: {}.
For {}.
Awaiting {}.
Awaits {}.
Waiting for {}.
On the waiting list for {}.
On the list for {}.
Consented for {}.
To have {}.
Needs {}.
Scheduled for {}.
{} scheduled.
Will need {}.
""")
PROCEDURE = lines("""
{} overnight, went well.
{} overnight.
{} yesterday, went well.
{} today, no complications.
{} today.
{} this morning.
{} went ahead.
{} completed.
{} uneventful.
{} tolerated well.
Tolerated {} well.
Uneventful {}.
Successful {}.
Emergency {}.
Elective {}.
Day N after {}.
Day N post {}.
Day N following {}.
POD N after {}.
N days after {}.
N days post {}.
N weeks after {}.
N weeks post {}.
N months after {}.
N hours after {}.
Post-op {}.
Post op day N, {}.
Recovering well after {}.
Recovering well from {}.
Doing well after {}.
Well after {}.
Attends after {}.
Review after {}.
Follow-up after {}.
Wound clean after {}.
Home after {}.
Discharged after {}.
PSH: {}.
PSHx {}.
Surgical history: {}.
Op: {}.
Operation: {}.
Procedure: {}.
Taken to theatre for {}.
Went to theatre for {}.
{} in theatre.
{} under general anaesthetic.
{} under GA.
{} under sedation.
{} under ultrasound guidance.
{} at the bedside.
{} by the surgeons.
Has undergone {}.
{she} has undergone {}.
{she} has had {}.
Previously {}.
""")
PAIRS = {
    ("symptom", "absent"): lines("""
{} but not {}.
{}, not {}.
{} although no {}.
{} in the absence of {}.
{} - no {}.
{}; denies {}.
{}, denies {}.
{} only, no {}.
{}. No {}.
{}; nil {}.
{} and no {}.
{}, without {}.
Reports {}, denies any {}.
Has {} but denies {}.
Presents with {} but without {}.
"""),
    ("absent", "symptom"): lines("""
No {} but has {}.
No {}, but {}.
No {}; {}.
Denies {} but reports {}.
No longer any {}, now {}.
Not {}, but {}.
"""),
    ("symptom", "new"): lines("""
{} - {} given.
{}, for {}.
{}. For {}.
{}, so started {}.
{}; to try {}.
{}: try {}.
{}, agreed to try {}.
{}, improved with {}.
"""),
    ("symptom", "old"): lines("""
{}, already on {}.
{}, on {}.
{} controlled with {}.
{}, {} not helping.
{} even though on {}.
"""),
    ("history", "old"): lines("""
{}, stable on {}.
{}, controlled with {}.
{} (on {}).
{} and takes {}.
{} for which {she} takes {}.
{}, well controlled on {}.
"""),
    ("diagnosis", "new"): lines("""
{}, for {}.
{}. For {}.
{} - {}.
{}; start {}.
{}, so started {}.
{} and given {}.
{} treated with {}.
{}; given {}.
{}. Plan: {}.
{}, to have {}.
"""),
    ("diagnosis", "planned"): lines("""
{}, listed for {}.
{}, awaiting {}.
{}; booked for {}.
{}, for {}.
"""),
    ("symptom", "planned"): lines("""
{}, listed for {}.
{}, awaiting {}.
{}; booked for {}.
"""),
    ("diagnosis", "procedure"): lines("""
{}, underwent {}.
{} requiring {}.
{} needing {}.
{}; {} done.
{} treated by {}.
"""),
    ("history", "symptom"): lines("""
Known {}. Now {}.
Known {}, in with {}.
{}, admitted with {}.
{}; presents with {}.
Has {}, now developed {}.
{}, comes in with {}.
"""),
    ("diagnosis", "symptom"): lines("""
{}, still has {}.
{}, ongoing {}.
{} causing {}.
"""),
    ("symptom", "diagnosis"): lines("""
{}. {}.
{} - {}.
{}, treated as {}.
{} in keeping with {}.
{} secondary to {}.
{} consistent with {}.
{} because of {}.
"""),
    ("procedure", "symptom"): lines("""
{}, complicated by {}.
{} followed by {}.
Following {} has {}.
After {} developed {}.
"""),
    ("stopped", "new"): lines("""
Switched from {} to {}.
Switched from {} to {}.
Changed from {} to {}.
{} switched to {}.
{} changed to {}.
{} stopped, started {}.
Stop {}, start {}.
Stopped {}, now on {}.
{} stopped and {} started.
{} replaced by {}.
{} replaced with {}.
"""),
    ("symptom", "stopped"): lines("""
{}, so {} stopped.
{} so stopped {}.
{}; {} stopped.
"""),
}
# One drug that was taken before and still is, at another dose.
DOSE_CHANGED = lines("""
Increasing {} to {}.
Increase {} to {}.
Increased {} to {}.
{} increased to {}.
{} reduced to {}.
{} raised to {}.
{} continued at {}.
{} up to {}.
{} cut to {}.
Reducing {} to {}.
Reduce {} to {}.
Reduced {} to {}.
Titrated {} up to {}.
{} titrated to {}.
Uptitrate {} to {}.
{} dose now {}.
{} weaned to {}.
Now on {} at {}.
""")
# What no summary keeps; they stand after a comma or as a sentence.
ASIDES = lines("""
came off {her} bike
after lifting boxes
after moving house
since {her} husband died
since his wife died
still drinking
seen on the ward round
mum worried
mum very worried
on {her} usual tablets
not keen on tablets
wants it checked
worse at night
worse in the cold
worse after sitting
worse on stairs
worse when lying down
worse with walking, better with rest
worse when coughing, better when sitting up
worse on movement
better with heat
better with rest
better on standing
eased by rest
settles by itself
comes and goes
getting worse
getting better
much the same
no better
no change
slipped on ice
tripped over the cat
fell off a ladder
fell down the stairs
fell in the bath
hit by a ball
knocked by a door
dropped a pan on it
caught it in a door
after a long flight
after a run
after a curry
after gardening
after a night out
while shopping
while cooking
playing netball
at a party
in the shower
works in a warehouse
works as a cleaner
works from home
drives a lorry
drives a taxi
off work
back at work
stressed at work
exams next week
getting married soon
recently retired
lives with {her} sister
lives in a bungalow
lives in sheltered housing
carers twice a day
walks the dog
plays golf
likes swimming
smokes
ex-smoker
stopped smoking last year
smokes 20 a day
drinks a bottle of wine a night
two glasses of wine a week
brother with the same
sister had the same
whole family had it
child at nursery has it
partner also unwell
back from Spain
just back from India
no recent travel
seen by the GP last week
seen by the physio
waiting for the physio
discussed with the registrar
discussed with the consultant
consultant aware
husband here
interpreter used
came with a friend
here with {her} son
brought by the police
brought by ambulance
feels fine now
otherwise fit and well
eating and drinking
good fluid intake
slept in a chair
not slept
asks about work
will call back
bloods to follow
results to follow
review tomorrow
review in a week
GP to follow up
home later
safety-netted
happy to go home
nurse to dress it
physio to see
leaflet given
driving advice given
fit note issued
""")
# N: a noun of the word list, with an article of its own where needed; A: an adjective.
ODD_ASIDES = lines("""
after moving the N
after lifting a N
after carrying the N
after an argument about the N
hit by a N
fell over the N
tripped on a N
caught on a N
brought {her} N along
works in the N trade
works with Ns
worried about the N
likes the N
forgot {her} N
found beside the N
after the N at work
since buying a A N
lives near the N
has a A N
the N was A
wants to V again
hopes to V soon
can still V
unable to V last week
told to V less
asked whether to V
in a A mood
A and chatty
""")
