"""Common English words, from which the tokenizer's fragments are learned.

The model itself never sees most of them in training. They are here so that any
English text, not just our own, splits into few tokens. Earlier words are the
commoner ones and weigh more.
"""

from typing import Final

from tools.reference_model.wording import words

COMMON: Final[tuple[str, ...]] = words(
    """
    the of and to in is that it for was on as with by he be at are this his from or had not
    have which an they she but one were all their has been we there will would who its more
    when him can if no what so her about out up into some them then only time other do could
    your than may these two first any my now such like our over me even most made after also
    did many before must through years where much way well should because each just those
    people how too little state good very make world still own see men work long here get both
    between life being under never day same another know year while last might us great old go
    come since against right came take used use house during without again place around
    however home small found part thought went say every school once general high upon left
    number course war until always away something fact water less public put think almost hand
    enough far took head yet better set told nothing night end why called find going look
    asked later point knew next city program business give group toward young days let room
    side social given several order national second possible rather per face among form
    important often things looked early white case large big need four within felt along
    children saw best church ever least power development light thing seemed family interest
    want members mind country area others done turned although open god service certain kind
    problem began different door thus help means sense whole matter human history law science
    body system government question example university company during money book word study
    change level result theory effect value person true false statement following answer
    correct increase decrease energy force field mass charge current surface pressure
    temperature cell protein blood disease patient heart brain treatment test data model
    function equal set ring finite group number prime integer matrix vector equation solution
    product sum difference rate ratio percent price market demand supply cost profit income
    trade labor capital tax bank policy economic political party president court right
    constitution legal contract property action claim evidence defendant police crime religion
    moral ethical argument reason belief knowledge nature culture society woman child mother
    father son daughter brother wife husband friend student teacher doctor army battle ship
    king queen england british english american united states world century december january
    march april june july august september october november february north south east west
    river sea island town village road station building song album film television game player
    team season league club match won lost played released series episode character story
    written music band record chart video single title number born died career died named
    known used made became received produced including according described located considered
    continued appeared performed directed published designed built formed started ended moved
    joined reached followed returned reported stated believed required involved based species
    animals plants chemical acid water metal gas carbon oxygen hydrogen electron atom molecule
    reaction bond solution computer network memory process program algorithm software security
    internet code language method analysis research experiment variable population sample
    statistical probability distribution mean average normal standard deviation significant
    relation relationship organization management employee customer strategy marketing
    financial accounting international foreign military nuclear treaty agreement union soviet
    german french china india africa europe america japanese russian roman greek latin ancient
    modern medieval christian islam muslim jewish buddhist hindu gods temple church philosophy
    psychology sociology biology physics chemistry mathematics geography astronomy medicine
    anatomy genetics nutrition engineering electrical virology jurisprudence econometrics
    behavior individual environment approximately therefore whether either neither however
    moreover although despite especially particularly generally usually sometimes frequently
    probably likely perhaps actually finally suddenly quickly immediately clearly simply
    directly recently originally
    """
)

FRAGMENTS: Final[tuple[str, ...]] = words(
    """
    th he in er an re on at en nd st es or te of ed is it al ar as ou ion ing tion ation ment
    ness ent ant ence ance able ible ity ous ious ive ative ly ally ful less est ers ings ist
    ism ize ise ized ising ate ated ating ates ic ical ics ish ship ward wise hood dom age ary
    ery ory ure ture al ial ual el le ble ple tle il ol ul am em im om um ap ep ip op up ab eb
    ib ob ub ac ec oc uc ad id od ud ag eg ig og ug ck ch sh ph wh qu tr dr pr br cr gr fr fl
    bl cl gl pl sl sp sk sm sn sw tw str scr spr thr ght igh ough ould ound ight ought ack ick
    ock uck ake ike oke ame ime ome ine one une ain een oon ear eer oor our air ire ore ure
    own ead eat eal eam ean ast est ist ost ust art ert ort urt ark erk ork all ell ill oll
    ull and end ind ond und ang ong ung ank ink onk unk ace ice uce ade ide ode ude com con
    dis pre pro per sub sup trans inter over under out un re de ex im non anti auto micro
    multi semi super tele ary land ton ville burg ford shire man men son sen berg stein son ov
    ski ez es os us is as um ae ia io ie
    """
)

CAPITALISED: Final[tuple[str, ...]] = words(
    """
    The In It He A An This If For But On At As By With From When After Which What Who How Why
    All Some These They There She We You To No Not One Two Each Both Most Many American
    British English United States World War University New York John Court State National
    South North West East King River City County January March April June July August
    September October November December Answer Statement True False None I II III IV
    """
)

SYMBOLS: Final[tuple[str, ...]] = (
    "...", "--", "''", '."', '",', "),", ").", " (", ' "', " =", " +", " -", " @", "@-@", " <",
    " <unk>", "'s", "'t", "n't", " \u2013", " \u2014", "\u2019", "\u201c", "\u201d", "°", "→",
    "_____", "____", "___", "__",
    "00", "000", "10", "20", "19", "200", "201", "18", " 10", " 20", " 19", " 200", " 18", " 1",
    " 2", " 3", " 4", " 5", " 6", " 7", " 8", " 9", " 0", "12", "15", "50", "25", "x^", "^2",
)  # fmt: skip
